// The page of `throughline serve` in a real browser: what a person does there, and what the page then shows.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { browser } from './browser.mjs';
import { gateway } from './gateway.mjs';

const TRANSPORTS = ['websocket', 'sse', 'polling'];
const LIMIT = { timeout: 60_000 };
const PATIENCE_MS = 15_000; // what the page is given to show something that comes at once

let served;
let chromium;

before(async () => {
  served = await gateway();
  chromium = await browser();
}, LIMIT);

after(async () => {
  await chromium?.close();
  await served?.stop();
}, LIMIT);

for (const transport of TRANSPORTS) {
  test(`what is published shows up once, by ${transport}`, LIMIT, async () => {
    const person = await Person.visit();
    await person.picks(transport);
    await person.subscribes(`shown-by-${transport}`);
    await person.publishes(`shown-by-${transport}`, { by: transport });
    const row = await person.sees(`shown-by-${transport}`, { by: transport });
    assert.equal(await row.getAttribute('data-transport'), transport);
    await person.leaves();
  });

  test(`a session by ${transport} goes on where its link was cut`, LIMIT, async () => {
    const channel = `cut-${transport}`;
    const [person, other] = [await Person.visit(), await Person.visit()];
    await person.picks(transport);
    await person.subscribes(channel);
    const session = await person.session();
    const attach = await person.attach();
    await person.page.getByTestId('cut').click();
    await other.publishes(channel, { missed: true });
    await person.sees(channel, { missed: true });
    assert.equal(await person.session(), session, 'the session outlives its link');
    assert.ok((await person.attach()) > attach, 'a link was cut');
    await Promise.all([person.leaves(), other.leaves()]);
  });
}

test('what is published while a person is away comes when they are back', LIMIT, async () => {
  const [person, other] = [await Person.visit(), await Person.visit()];
  await person.subscribes('away');
  const session = await person.session();
  await person.page.getByTestId('offline').click();
  await person.is('offline');
  await other.subscribes('away');
  for (let n = 1; n <= 20; n += 1) await other.publishes('away', { n });
  await other.sees('away', { n: 20 });
  assert.equal(await person.events('away').count(), 0);
  await person.page.getByTestId('offline').click();
  await person.sees('away', { n: 20 });
  const offsets = await person.events('away').evaluateAll((rows) => rows.map((row) => Number(row.dataset.offset)));
  assert.deepEqual(offsets.reverse(), Array.from({ length: 20 }, (_, n) => n + 1), 'all, once, in order');
  assert.equal(await person.session(), session);
  await Promise.all([person.leaves(), other.leaves()]);
});

test('a session changes its transport while events flow, and loses none', LIMIT, async () => {
  const [person, other] = [await Person.visit(), await Person.visit()];
  await person.subscribes('moving');
  await other.subscribes('moving');
  const session = await person.session();
  let published = 0;
  for (const transport of ['sse', 'polling', 'websocket', 'polling', 'sse', 'websocket']) {
    await person.page.getByTestId('transport').selectOption(transport);
    for (let n = 0; n < 5; n += 1) await other.publishes('moving', { n: (published += 1) });
    await person.is('live', transport);
  }
  await person.sees('moving', { n: published });
  const offsets = await person.events('moving').evaluateAll((rows) => rows.map((row) => Number(row.dataset.offset)));
  assert.deepEqual(offsets.reverse(), Array.from({ length: published }, (_, n) => n + 1), 'all, once, in order');
  assert.equal(await person.session(), session);
  await Promise.all([person.leaves(), other.leaves()]);
});

test('cuts while events flow lose nothing and double nothing', LIMIT, async () => {
  const [person, other] = [await Person.visit(), await Person.visit()];
  await person.subscribes('cuts');
  const attach = await person.attach();
  for (let n = 1; n <= 40; n += 1) {
    await other.publishes('cuts', { n });
    if (n % 8 === 0) await person.page.getByTestId('cut').click();
  }
  await person.sees('cuts', { n: 40 });
  const offsets = await person.events('cuts').evaluateAll((rows) => rows.map((row) => Number(row.dataset.offset)));
  assert.deepEqual(offsets.reverse(), Array.from({ length: 40 }, (_, n) => n + 1), 'all, once, in order');
  assert.ok((await person.attach()) >= attach + 4, 'links were cut');
  await Promise.all([person.leaves(), other.leaves()]);
});

test('a narrow screen shows all of it without scrolling sideways', LIMIT, async () => {
  const person = await Person.visit();
  await person.page.setViewportSize({ width: 340, height: 720 });
  await person.subscribes('narrow');
  await person.publishes('narrow', { long: 'x'.repeat(400) });
  await person.sees('narrow', { long: 'x'.repeat(400) });
  const [content, screen] = await person.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= screen, `${content} > ${screen}`);
  await person.leaves();
});

test('what others say is shown as text, never as markup', LIMIT, async () => {
  const person = await Person.visit();
  await person.subscribes('markup');
  const said = '<img src=x onerror="document.title=1"><b>bold</b>';
  await person.publishes('markup', said);
  const row = await person.sees('markup', said);
  assert.equal(await row.locator('b, img').count(), 0);
  assert.equal(await person.page.title(), 'Throughline');
  await person.leaves();
});

/** Somebody with the page open. */
class Person {
  /** Opens the page and waits until its session lives. */
  static async visit() {
    const person = new Person();
    person.context = await chromium.newContext();
    person.page = await person.context.newPage();
    person.page.setDefaultTimeout(PATIENCE_MS);
    person.complaints = [];
    person.page.on('pageerror', (error) => person.complaints.push(String(error)));
    person.page.on('console', (said) => {
      // A link that is cut is one the browser complains of by itself; anything else is the page's fault.
      const isLink = /net::ERR_|WebSocket connection to/.test(said.text());
      if (said.type() === 'error' && !isLink) person.complaints.push(said.text());
    });
    await person.page.goto(served.page);
    await person.is('live');
    return person;
  }

  async picks(transport) {
    await this.page.getByTestId('transport').selectOption(transport);
    await this.is('live', transport);
  }

  async subscribes(channel) {
    await this.page.getByTestId('subscribe-channel').fill(channel);
    await this.page.getByTestId('subscribe').click();
    await this.row('subscribed', channel).waitFor();
  }

  async publishes(channel, data) {
    await this.page.getByTestId('publish-channel').fill(channel);
    await this.page.getByTestId('publish-data').fill(JSON.stringify(data));
    await this.page.getByTestId('publish').click();
  }

  /** Waits for the event and says which row it is; two of it are one too many. */
  async sees(channel, data) {
    const row = this.row('event', channel).filter({ hasText: JSON.stringify(data) });
    await row.waitFor();
    return row;
  }

  /** Waits until the page says that its session is in this state, by this transport. */
  async is(state, transport) {
    const by = transport ? `[data-transport="${transport}"]` : '';
    await this.page.locator(`[data-testid="state"][data-state="${state}"]${by}`).waitFor();
  }

  row(kind, channel) {
    return this.page.locator(`[data-testid="items"] [data-kind="${kind}"][data-channel="${channel}"]`);
  }

  events(channel) {
    return this.row('event', channel);
  }

  session() {
    return this.page.getByTestId('session').textContent();
  }

  async attach() {
    return Number(await this.page.getByTestId('attach').textContent());
  }

  /** Closes the page. Every number came once, from 1 on, and nothing went wrong in the page. */
  async leaves() {
    const rows = this.page.locator('[data-testid="items"] [data-number]');
    const numbers = await rows.evaluateAll((all) => all.map((row) => Number(row.dataset.number)));
    assert.deepEqual(numbers.reverse(), Array.from(numbers, (_, n) => n + 1), 'each item once, in order');
    assert.deepEqual(this.complaints, [], 'the page has nothing to complain of');
    await this.context.close();
  }
}
