// A host with a page for the wall, and players with phones: what they do, and what they see.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { faults } from './layout.mjs';

const PATIENCE_MS = 20_000;
const WALL = { viewport: { width: 1920, height: 1080 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

/** Somebody with a page open. */
class Person {
  /** `prepare` is run in the page before its own script is: it may take away what a browser has. */
  static async visit(chromium, address, device, name, prepare) {
    const person = new this();
    person.name = name;
    person.context = await chromium.newContext(device);
    if (prepare) await person.context.addInitScript(prepare);
    person.page = await person.context.newPage();
    person.page.setDefaultTimeout(PATIENCE_MS);
    person.complaints = [];
    person.page.on('pageerror', (error) => person.complaints.push(String(error)));
    person.page.on('console', (said) => {
      // A link that is cut is one the browser complains of by itself; anything else is the page's fault.
      const isLink = /net::ERR_|WebSocket connection to|WebTransport/.test(said.text());
      if (said.type() === 'error' && !isLink) person.complaints.push(said.text());
    });
    await person.page.goto(address);
    return person;
  }

  /** Waits until the page shows this screen, as it is and not as it was. */
  async sees(screen) {
    await this.page.locator(`body[data-screen="${screen}"][data-freshness="live"]`).waitFor({ state: 'attached' });
  }

  /** Waits until what has this id says so. */
  async reads(id, text) {
    await this.page.locator(`#${id}`).filter({ hasText: text, visible: true }).waitFor();
  }

  text(id) {
    return this.page.locator(`#${id}`).textContent();
  }

  /** Takes a picture, where pictures are wanted, and measures what is on it: in both colour schemes, without motion. */
  async isWellLaidOut(stage) {
    for (const colorScheme of ['light', 'dark']) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      if (process.env.QUIZ_SCREENSHOTS) {
        await mkdir(process.env.QUIZ_SCREENSHOTS, { recursive: true });
        const width = this.page.viewportSize().width;
        await this.page.screenshot({ path: join(process.env.QUIZ_SCREENSHOTS, `${stage}-${width}-${colorScheme}.png`) });
      }
      assert.deepEqual(await this.page.evaluate(faults), [], `${stage}, ${colorScheme}`);
    }
  }

  async leaves() {
    assert.deepEqual(this.complaints, [], `the page of ${this.name} has nothing to complain of`);
    await this.context.close();
  }
}

export class Host extends Person {
  static visit(chromium, address) {
    return super.visit(chromium, address, WALL, 'the host');
  }

  async opens({ questions, seconds }) {
    await this.sees('create');
    await this.page.locator('#questions').selectOption(String(questions));
    await this.page.locator('#limit').selectOption(String(seconds));
    await this.page.locator('#create button').click();
    await this.sees('lobby');
    this.code = await this.text('big-code');
    return this.code;
  }

  /** Moves the game on, and waits until the wall shows it. */
  async movesOnTo(screen) {
    await this.page.locator('#next').click();
    await this.sees(screen);
  }

  /** Closes the question, if its time is not over anyhow: whoever presses the button then has moved on already. */
  async closesTheQuestion() {
    await this.page.locator('#next').evaluate((next) => next.textContent === 'Close the question' && next.click());
    await this.sees('result');
  }

  /** Who is in the lobby, and whether they are there. */
  async showsPlayer(name, { away = false } = {}) {
    const item = this.page.locator(`#people li${away ? '.away' : ':not(.away)'}`, { hasText: name });
    // A phone that is switched off says nothing: two heartbeats, and the grace after them.
    await item.waitFor({ state: 'attached', timeout: away ? 3 * PATIENCE_MS : PATIENCE_MS });
  }

  /** The scores on the podium and below it. */
  async podium() {
    const winners = await this.page.locator('#podium li').evaluateAll((items) =>
      items.map((item) => [item.querySelector('.who').textContent, parseInt(item.querySelector('i').textContent, 10)]),
    );
    const others = await this.page.locator('#rest li').evaluateAll((items) =>
      items.map((item) => [item.querySelector('span').textContent, Number(item.querySelector('i').textContent)]),
    );
    return Object.fromEntries([...winners, ...others]);
  }
}

export class Player extends Person {
  static visit(chromium, address, name, prepare) {
    return super.visit(chromium, address, PHONE, name, prepare);
  }

  async joins(code) {
    await this.sees('join');
    await this.page.locator('#code').fill(code.toLowerCase());
    await this.page.locator('#name').fill(this.name);
    await this.page.locator('#enter').click();
  }

  async answers(choice) {
    await this.page.locator('#choices button').nth(choice).click();
  }

  /** Waits until the page shows this answer as given, and as taken or on its way. */
  async hasAnswered(choice, { pending = false } = {}) {
    const group = `#choices[data-pending="${pending}"]`;
    await this.page.locator(`${group} button:nth-child(${choice + 1})[aria-pressed="true"]`).waitFor();
  }

  async score() {
    return Number(await this.text('score-number'));
  }
}
