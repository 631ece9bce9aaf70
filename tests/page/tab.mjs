// A tab with the test page in it, told what to do by a test.

import assert from 'node:assert/strict';

const PATIENCE_MS = 30_000;

export class Tab {
  /** Opens the page in a tab of its own. */
  static async open(context, address) {
    const page = await context.newPage();
    const tab = Tab.of(page);
    await page.goto(address);
    return tab;
  }

  /** A tab that somebody else has opened. */
  static of(page) {
    const tab = new Tab();
    tab.page = page;
    tab.complaints = [];
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('pageerror', (error) => tab.complaints.push(String(error)));
    page.on('console', (said) => {
      // A request that fails is one the browser complains of by itself; anything else is the client's fault.
      const isRequest = /net::ERR_|WebSocket connection to/.test(said.text());
      if (said.type() === 'error' && !isRequest) tab.complaints.push(said.text());
    });
    return tab;
  }

  /** Runs a function in the page: `session`, `channels` and `heard` are there by name. */
  do(act, argument) {
    return this.page.evaluate(act, argument);
  }

  /** Opens the session and waits until it lives. */
  async begins(options) {
    await this.do((options) => begin(options), options);
    await this.do(() => session.ready());
  }

  /** Opens the session and subscribes in one go, as a page does that is loaded. */
  async beginsAt(channel, options, subscription) {
    await this.do(
      ([channel, options, subscription]) => {
        begin(options);
        return follow(channel, subscription);
      },
      [channel, options, subscription],
    );
  }

  async follows(channel, options) {
    await this.do(([channel, options]) => follow(channel, options), [channel, options]);
  }

  /** Waits until something is so in the page. */
  async until(isSo, argument) {
    await this.page.waitForFunction(isSo, argument, { polling: 20 });
  }

  async is(name, transport) {
    await this.until(
      ([name, transport]) => session.state.name === name && (!transport || session.state.transport === transport),
      [name, transport],
    );
  }

  id() {
    return this.do(() => session.id);
  }

  /** Waits for that many events of a channel; then these are all of it: none lost, none twice, none out of order. */
  async hears(channel, count) {
    await this.until(([channel, count]) => heard.events.filter((event) => event.channel === channel).length >= count, [channel, count]);
    const { events, gaps } = await this.do(() => heard);
    const own = events.filter((event) => event.channel === channel);
    const [first] = own;
    assert.deepEqual(own.map(({ offset }) => offset), own.map((_, place) => first.offset + place), 'all, once, in order');
    assert.equal(own.length, count);
    assert.deepEqual(gaps, []);
    return own;
  }

  async leaves() {
    assert.deepEqual(this.complaints, [], 'the page has nothing to complain of');
    await this.page.close();
  }
}
