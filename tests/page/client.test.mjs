// The TypeScript client in a real browser, by its API: each transport in each codec, and every move from one to another.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { everyMove, publish, publishing, toUse } from './admin.mjs';
import { browser } from './browser.mjs';
import { gateway } from './gateway.mjs';
import { site } from './site.mjs';
import { Tab } from './tab.mjs';

const TRANSPORTS = ['webtransport', 'websocket', 'sse', 'polling'];
const CODECS = ['json', 'bincode'];
const LIMIT = { timeout: 60_000 };

let served;
let pages;
let chromium;
let context;

before(async () => {
  // As much is kept as is published while a link stands still on a busy machine.
  served = await gateway({ set: { 'retention.events': 100_000, 'retention.bytes': 67_108_864 } });
  pages = await site(served.page);
  chromium = await browser();
  context = await chromium.newContext();
}, LIMIT);

after(async () => {
  await chromium?.close();
  await pages?.close();
  await served?.stop();
}, LIMIT);

/** Moves the session. A machine that stands still makes a link late that is not: then it has stayed where it was, and is asked once more. */
async function move(transport) {
  try {
    await session.migrate(transport);
  } catch (error) {
    if (error.message !== 'it came to nothing') throw error;
    await session.migrate(transport);
  }
}

for (const codec of CODECS) {
  for (const transport of TRANSPORTS) {
    test(`events come and sends are answered by ${transport} in ${codec}`, LIMIT, async () => {
      const channel = `${transport}-${codec}`;
      const tab = await Tab.open(context, pages.url);
      await tab.begins({ base: served.page, codec, transports: toUse(transport), keep: 'never' });
      await tab.is('live', transport);
      await tab.follows(channel);
      for (let n = 1; n <= 5; n += 1) await publish(served, channel, { n });
      const reply = await tab.do((channel) => session.send(channel, { said: '…, "\u2028" and 🙂' }), channel);
      assert.equal(reply.position.offset, 6);
      const events = await tab.hears(channel, 6);
      assert.deepEqual(events.map(({ data }) => data), [1, 2, 3, 4, 5].map((n) => ({ n })).concat([{ said: '…, "\u2028" and 🙂' }]));
      for (const event of events) assert.equal(event.transport, transport);
      const explained = await tab.do(() => ({ ...session.explain(), text: String(session.explain()) }));
      assert.equal(explained.transport, transport);
      const spoken = transport === 'sse' ? 'json' : codec; // event streams are always text
      assert.ok(explained.codec.endsWith(spoken), explained.codec);
      assert.notEqual(explained.text, '');
      await tab.leaves();
    });
  }

  test(`a session in ${codec} moves from each transport to each other while events and sends are in flight`, LIMIT, async () => {
    const channel = `moving-${codec}`;
    const tab = await Tab.open(context, pages.url);
    await tab.begins({ base: served.page, codec, keep: 'never' });
    await tab.follows(channel);
    const session = await tab.id();
    const stop = publishing(served, channel);
    let said = 0;
    for (const transport of everyMove(TRANSPORTS)) {
      const moved = tab.do(move, transport);
      for (let n = 0; n < 3; n += 1) await tab.do(([channel, said]) => say(channel, { said }), [channel, (said += 1)]);
      await moved;
      await tab.is('live', transport);
    }
    const published = await stop();
    const events = await tab.hears(channel, published + said);
    assert.deepEqual(events.filter(({ data }) => data.n).map(({ data }) => data.n), Array.from({ length: published }, (_, n) => n + 1));
    assert.deepEqual(events.filter(({ data }) => data.said).map(({ data }) => data.said), Array.from({ length: said }, (_, n) => n + 1));
    await tab.until((said) => heard.replies.length + heard.failures.length >= said, said);
    assert.deepEqual(await tab.do(() => heard.failures), []);
    assert.deepEqual(
      await tab.do(() => heard.replies.map(({ data, offset }) => [data.said, offset]).sort(([one], [other]) => one - other)),
      events.filter(({ data }) => data.said).map(({ data, offset }) => [data.said, offset]),
      'each reply says where its own event is',
    );
    for (const transport of TRANSPORTS) assert.ok(events.some((event) => event.transport === transport), `some came by ${transport}`);
    assert.equal(await tab.id(), session);
    assert.deepEqual(await tab.do(() => heard.lost), []);
    await tab.leaves();
  });
}

for (const transport of TRANSPORTS) {
  test(`the client works in a worker, by ${transport}`, LIMIT, async () => {
    const channel = `worker-${transport}`;
    await publish(served, channel, { n: 1 });
    const tab = await Tab.open(context, pages.url);
    const data = await tab.do(
      (told) =>
        new Promise((heard) => {
          const worker = new Worker('/worker.js');
          worker.onmessage = ({ data }) => heard(data);
          worker.postMessage(told);
        }),
      { base: served.page, transports: toUse(transport), channel },
    );
    assert.deepEqual(data, { n: 1 });
    await tab.leaves();
  });
}
