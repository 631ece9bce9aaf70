// What a page goes through, in a real browser: it is loaded again, duplicated, hidden, kept in the page cache, and its
// network goes and comes. A session outlives all of it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { publish, toUse } from './admin.mjs';
import { browser } from './browser.mjs';
import { gateway } from './gateway.mjs';
import { site } from './site.mjs';
import { Tab } from './tab.mjs';

const LIMIT = { timeout: 90_000 };
const CONNECTIONS = 6; // what a browser opens to one host over HTTP/1.1, for all of its tabs

let served;
let pages;
let chromium;
let context;

before(async () => {
  served = await gateway();
  pages = await site(served.page);
  chromium = await browser({ keepsPages: true });
}, LIMIT);

after(async () => {
  await chromium?.close();
  await pages?.close();
  await served?.stop();
}, LIMIT);

/** A test with a browser profile of its own. */
const inProfile = (name, act) =>
  test(name, LIMIT, async () => {
    context = await chromium.newContext();
    await act();
    await context.close();
  });

for (const transport of ['webtransport', 'websocket', 'sse', 'polling']) {
  inProfile(`a page by ${transport} that is loaded again keeps its session, and nobody sees it go`, async () => {
    const channel = `again-${transport}`;
    const [tab, other] = [await Tab.open(context, pages.url), await Tab.open(await chromium.newContext(), pages.url)];
    await other.begins({ base: served.page });
    await other.follows(channel, { presence: true });
    await tab.begins({ base: served.page, transports: toUse(transport) });
    await tab.is('live', transport);
    await tab.follows(channel, { presence: true });
    const id = await tab.id();
    await other.until((id) => heard.presence.some(({ sessions }) => sessions.includes(id)), id);
    const before = await other.do(() => heard.presence.length);
    for (let load = 1; load <= 2; load += 1) {
      await tab.page.reload();
      await tab.beginsAt(channel, { base: served.page, transports: toUse(transport) }, { presence: true, from: { last: 100 } });
      await tab.is('live', transport);
      assert.equal(await tab.do(() => session.isResumed), true);
      assert.equal(await tab.id(), id);
      await publish(served, channel, { load });
      const events = await tab.hears(channel, load);
      assert.deepEqual(events.at(-1).data, { load });
    }
    await other.hears(channel, 2);
    assert.deepEqual(await other.do((before) => heard.presence.slice(before), before), [], 'nobody came, nobody went');
    assert.equal(await other.do(([channel, id]) => channels.get(channel).members.has(id), [channel, id]), true);
    await other.leaves();
    await tab.leaves();
  });
}

inProfile('what a page said and had no answer of is carried out once, and its next page is told', async () => {
  const tab = await Tab.open(context, pages.url);
  await tab.begins({ base: served.page, transports: ['polling'] });
  await tab.follows('unanswered');
  const id = await tab.id();
  // The gateway hears the first, but its answer never arrives; the second does not even leave.
  let isCut = false;
  const heardIt = new Promise((resolve) =>
    context.route('**/v1/**', async (route) => {
      const isFirst = !isCut && route.request().postData()?.includes('"swallowed"');
      if (!isFirst) return isCut ? route.abort() : route.continue();
      isCut = true;
      await tab.do(() => session.cut()); // the poll that is held would bring the answer
      await route.fetch();
      await route.abort();
      resolve();
    }),
  );
  await tab.do(() => say('unanswered', { said: 'swallowed' }));
  await heardIt;
  await tab.do(() => say('unanswered', { said: 'waits' }));
  await tab.until(() => JSON.stringify({ ...sessionStorage }).includes('waits'));
  assert.deepEqual(await tab.do(() => heard.replies), []);
  await tab.page.reload();
  await context.unroute('**/v1/**');
  await tab.begins({ base: served.page, transports: ['polling'] });
  assert.equal(await tab.id(), id);
  const outcomes = await tab.do(async () => {
    const restored = await session.restored;
    return Promise.all(restored.map(async ({ command, outcome }) => [command.data?.said, (await outcome).position?.offset]));
  });
  assert.deepEqual(outcomes, [['swallowed', 1], ['waits', 2]]);
  await tab.follows('unanswered', { from: { last: 100 } });
  const events = await tab.hears('unanswered', 2);
  assert.deepEqual(events.map(({ data }) => data.said), ['swallowed', 'waits']);
  await tab.leaves();
});

inProfile('a duplicated tab opens a session of its own, and takes nothing from the first', async () => {
  const tab = await Tab.open(context, pages.url);
  await tab.begins({ base: served.page });
  await tab.follows('duplicated');
  const id = await tab.id();
  const opened = context.waitForEvent('page');
  await tab.do(() => void window.open(location.href)); // with a copy of the tab's storage
  const copy = Tab.of(await opened);
  await copy.page.waitForLoadState();
  assert.ok((await copy.do(() => JSON.stringify({ ...sessionStorage }))).includes(id), 'it has a copy');
  await copy.begins({ base: served.page });
  assert.equal(await copy.do(() => session.isResumed), false);
  const own = await copy.id();
  assert.notEqual(own, id);
  await copy.follows('duplicated');
  await publish(served, 'duplicated', { n: 1 });
  await tab.hears('duplicated', 1);
  await copy.hears('duplicated', 1);
  assert.equal(await tab.id(), id);
  assert.deepEqual(await tab.do(() => heard.lost), []);
  // Each keeps its own over a load.
  await Promise.all([copy.page.reload(), tab.page.reload()]);
  await copy.begins({ base: served.page });
  await tab.begins({ base: served.page });
  assert.deepEqual([await tab.id(), await copy.id()], [id, own]);
  await copy.leaves();
  await tab.leaves();
});

for (const transports of [['polling'], ['sse'], ['websocket'], ['webtransport', 'websocket', 'sse', 'polling']]) {
  inProfile(`a session by ${transports.join(', ')} goes on when the network comes back`, async () => {
    const channel = `offline-${transports.length}-${transports[0]}`;
    const tab = await Tab.open(context, pages.url);
    await tab.begins({ base: served.page, transports });
    await tab.follows(channel);
    const id = await tab.id();
    await context.setOffline(true);
    await tab.until(() => !navigator.onLine);
    // What the browser's switch leaves standing would outlive it, and beside a link that is cut another may stand.
    await tab.until(() => (session.state.name === 'waiting' && session.state.reason === 'offline') || session.cut());
    for (let n = 1; n <= 5; n += 1) await publish(served, channel, { n });
    await tab.do((channel) => say(channel, { said: 'meanwhile' }), channel);
    assert.equal(await tab.do(() => heard.events.length), 0);
    await context.setOffline(false);
    await tab.is('live');
    const events = await tab.hears(channel, 6);
    assert.deepEqual(events.at(-1).data, { said: 'meanwhile' });
    assert.equal(await tab.id(), id);
    await tab.leaves();
  });
}

inProfile('hidden pages that poll leave connections to others, and hear all when they are shown', async () => {
  // Where hidden pages hold their connections others get none: that is waited for with a limit.
  const opens = async (options) => {
    const tab = await Tab.open(context, pages.url);
    await tab.do((options) => {
      begin(options);
      void follow('hidden');
    }, { base: served.page, transports: ['polling'], ...options });
    await tab.until(() => channels.get('hidden')?.position);
    return tab;
  };
  const hidden = [];
  for (let n = 0; n < CONNECTIONS; n += 1) {
    const tab = await opens({ name: `tab-${n}` });
    await tab.do(() => pretend('hidden'));
    hidden.push(tab);
  }
  const seventh = await opens();
  await publish(served, 'hidden', { n: 1 });
  await seventh.hears('hidden', 1);
  const ids = new Set();
  for (const tab of hidden) {
    await tab.do(() => pretend('visible'));
    await tab.hears('hidden', 1);
    ids.add(await tab.id());
    await tab.do(() => session.close());
  }
  assert.equal(ids.size, CONNECTIONS);
  await seventh.leaves();
});

for (const transport of ['webtransport', 'websocket', 'sse', 'polling']) {
  inProfile(`a page by ${transport} that comes back from the page cache goes on`, async () => {
    const channel = `cached-${transport}`;
    const tab = await Tab.open(context, pages.url);
    await tab.begins({ base: served.page, transports: toUse(transport) });
    await tab.is('live', transport);
    await tab.follows(channel);
    const id = await tab.id();
    await tab.page.goto(new URL('elsewhere', pages.url).href);
    for (let n = 1; n <= 3; n += 1) await publish(served, channel, { n });
    await tab.page.evaluate(() => history.back());
    await tab.until(() => typeof heard === 'object');
    assert.deepEqual(await tab.do(() => heard.shown), [false, true], 'it came out of the cache');
    await tab.hears(channel, 3);
    assert.equal(await tab.id(), id);
    await tab.leaves();
  });
}
