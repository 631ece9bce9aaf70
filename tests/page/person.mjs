// Somebody with the page open: what they do there, and what they see.

import assert from 'node:assert/strict';

const PATIENCE_MS = 15_000; // what the page is given to show something that comes at once

/** A visitor of the page. */
export class Person {
  /**
   * Opens the page and waits until its session lives. `prepare` is run in the page before its own script is: it may take
   * away what a browser has, or spoil it.
   */
  static async visit(chromium, address, prepare) {
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
    if (prepare) await person.page.addInitScript(prepare);
    await person.page.goto(address);
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

  async cuts() {
    await this.page.getByTestId('cut').click();
  }

  /** Waits for the event and says which row it is; two of it are one too many. */
  async sees(channel, data) {
    const row = this.row('event', channel).filter({ hasText: JSON.stringify(data) });
    await row.waitFor();
    return row;
  }

  /** The channel's events are these offsets: all, once, in order. */
  async saw(channel, count) {
    const offsets = await this.events(channel).evaluateAll((rows) => rows.map((row) => Number(row.dataset.offset)));
    assert.deepEqual(offsets.reverse(), Array.from({ length: count }, (_, n) => n + 1), 'all, once, in order');
  }

  /** Waits until the page says that its session is in this state, by this transport. */
  async is(state, transport, timeout = PATIENCE_MS) {
    const by = transport ? `[data-transport="${transport}"]` : '';
    await this.page.locator(`[data-testid="state"][data-state="${state}"]${by}`).waitFor({ timeout });
  }

  /** Waits until the page tells that a transport was tried, and that it went so. */
  async tells(transport, outcome) {
    const row = `[data-testid="attempts"] [data-transport="${transport}"][data-outcome="${outcome}"]`;
    await this.page.locator(row).first().waitFor();
  }

  row(kind, channel) {
    return this.page.locator(`[data-testid="items"] [data-kind="${kind}"][data-channel="${channel}"]`);
  }

  events(channel) {
    return this.row('event', channel);
  }

  /** Somebody who is shown to be in a channel. */
  member(channel, session) {
    return this.page.locator(`[data-testid="channels"] [data-channel="${channel}"] [data-member="${session}"]`);
  }

  session() {
    return this.page.getByTestId('session').textContent();
  }

  /** How many links have carried the session. */
  async links() {
    return Number(await this.page.getByTestId('links').textContent());
  }

  /** Waits until more links than that have carried the session: what came by the newest is shown before it is counted. */
  async hasHadMoreThan(links) {
    await this.page.waitForFunction((links) => Number(document.querySelector('[data-testid="links"]').textContent) > links, links);
  }

  /** Closes the page. The numbers of the events rose, and nothing went wrong in the page. */
  async leaves() {
    const rows = this.page.locator('[data-testid="items"] [data-number]');
    const numbers = (await rows.evaluateAll((all) => all.map((row) => Number(row.dataset.number)))).reverse();
    assert.ok(numbers.every((number, place) => place === 0 || number > numbers[place - 1]), `each once, in order: ${numbers}`);
    assert.deepEqual(this.complaints, [], 'the page has nothing to complain of');
    await this.context.close();
  }
}
