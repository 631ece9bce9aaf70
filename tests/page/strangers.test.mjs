// Pages that have no business with a gateway, in a real browser: on another site, under a name that was pointed at the
// gateway, without an origin. None opens a session, none reads or publishes anything, and each attempt is counted by name.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as createProxy } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { attack } from './attack.mjs';
import { publish } from './admin.mjs';
import { browser } from './browser.mjs';
import { gateway } from './gateway.mjs';

const LIMIT = { timeout: 60_000 };
const BLANK = '<!doctype html><link rel="icon" href="data:,"><title>Stranger</title>';
const EVERYTHING = [
  'websocket', 'poll', 'poll unread', 'send', 'send unread', 'events by fetch', 'events by EventSource', 'events as an image',
  'tickets', 'negotiate', 'webtransport', 'publish', 'publish unread', 'application ticket', 'sessions', 'history', 'metrics',
];

let served;
let chromium;
let evil; // a site of its own
let friend; // another, whose pages the gateway lets in
let hashes;

before(async () => {
  evil = await site('evil.test');
  friend = await site('friend.test');
  served = await gateway({ set: { origins: friend.origin } });
  const { transports } = await (await fetch(new URL('v1/negotiate', served.page))).json();
  ({ certificateHashes: hashes } = transports.find(({ name }) => name === 'webtransport'));
  const { port } = new URL(served.page);
  chromium = await browser({
    args: [
      // Names lead to this machine, as others lead to sites. Two are the attacker's: one of its site, one for the gateway.
      '--host-resolver-rules=MAP evil.test 127.0.0.1, MAP rebound.test 127.0.0.1, MAP friend.test 127.0.0.1',
      // So that the browser does not keep WebTransport from them.
      `--unsafely-treat-insecure-origin-as-secure=${evil.origin},${friend.origin},http://rebound.test:${port}`,
      // The gateway has to refuse by itself: not every browser asks before a page reaches this machine.
      '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights',
    ],
  });
}, LIMIT);

after(async () => {
  await chromium?.close();
  await evil?.close();
  await friend?.close();
  await served?.stop();
}, LIMIT);

test('a page of another site is refused on every transport and by the admin API, and reads nothing', LIMIT, async () => {
  const page = await chromium.newPage();
  await page.goto(evil.url);
  await isRefused(page, EVERYTHING);
});

test('a page in a sandboxed frame, whose origin is null, is refused', LIMIT, async () => {
  const page = await chromium.newPage();
  await page.goto(evil.url);
  await page.setContent(`${BLANK}<iframe sandbox="allow-scripts" srcdoc="<title>Nobody</title>"></iframe>`);
  const frame = page.frames().find((frame) => frame !== page.mainFrame());
  assert.equal(await frame.evaluate(() => String(origin)), 'null');
  await isRefused(frame, EVERYTHING);
});

test('a page from a file, whose origin is null, is refused', LIMIT, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'throughline-'));
  context.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'page.html'), BLANK);
  const page = await chromium.newPage();
  await page.goto(pathToFileURL(join(folder, 'page.html')).href);
  await isRefused(page, EVERYTHING);
});

test('a page whose name was pointed at the gateway is refused, although it is of the same origin', LIMIT, async () => {
  const page = await chromium.newPage();
  const own = new URL(served.page);
  own.hostname = 'rebound.test';
  // The page itself came when the name still led to the attacker.
  await page.route(own.href, (route) => route.fulfill({ contentType: 'text/html', body: BLANK }));
  await page.goto(own.href);
  const admin = new URL(served.admin);
  admin.hostname = 'rebound.test';
  await isRefused(page, EVERYTHING, { page: own.href, admin: admin.href });
  await page.goto(evil.url);
  await page.route(admin.href, (route) => route.fulfill({ contentType: 'text/html', body: BLANK }));
  await page.goto(admin.href);
  await isRefused(page, ['publish', 'publish unread', 'application ticket', 'sessions', 'history', 'metrics'], {
    page: own.href,
    admin: admin.href,
  });
});

test('a page of a site that is listed comes by every transport, reads what it is told, and reaches no admin API', LIMIT, async () => {
  const page = await chromium.newPage();
  await page.goto(friend.url);
  const had = await page.evaluate(async ({ base, hashes }) => {
    const at = (path) => new URL(path, base).href;
    const hello = '{"type":"hello","version":0,"instance":"friend","attach":1}';
    const post = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: hello };
    const first = async (readable) => (await readable.pipeThrough(new TextDecoderStream()).getReader().read()).value;
    const bytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
    const transport = async () => {
      const url = at('v1/webtransport').replace('http:', 'https:');
      const serverCertificateHashes = hashes.map((hash) => ({ algorithm: 'sha-256', value: bytes(hash) }));
      const session = new WebTransport(url, { serverCertificateHashes, protocols: ['throughline.v1.json'] });
      const { readable, writable } = await session.createBidirectionalStream();
      await writable.getWriter().write(new TextEncoder().encode(`${hello}\n`));
      return first(readable);
    };
    const message = (target) => new Promise((done, failed) => {
      target.onmessage = ({ data }) => done(data);
      target.onerror = () => failed(new Error(`${target.url} is refused`));
    });
    const socket = new WebSocket(at('v1/websocket').replace('http', 'ws'), 'throughline.v1.json');
    socket.onopen = () => socket.send(hello);
    return {
      websocket: await message(socket),
      poll: await (await fetch(at('v1/poll'), post)).text(),
      fetched: await first((await fetch(at('v1/events'), post)).body),
      stream: await message(new EventSource(at('v1/events?channel=news'))),
      webtransport: await transport(),
      // These the browser asks about before.
      binary: (await fetch(at('v1/poll'), { ...post, headers: { 'content-type': 'application/vnd.throughline.v1.bincode' } })).status,
      ticket: await (await fetch(at('v1/tickets'), { method: 'POST', headers: { authorization: 'Bearer x' } })).json(),
      // Cookies say nothing here, so no answer to a request with cookies is read.
      withCookies: await fetch(at('v1/negotiate'), { credentials: 'include' }).then(() => 'read', () => 'not read'),
    };
  }, { base: served.page, hashes });
  for (const transport of ['websocket', 'poll', 'fetched', 'stream', 'webtransport']) assert.match(had[transport], /"welcome"/, transport);
  assert.equal(had.binary, 200);
  assert.ok(had.ticket.ticket);
  assert.equal(had.withCookies, 'not read');
  await isRefused(page, ['publish', 'publish unread', 'application ticket', 'sessions', 'history', 'metrics']);
});

test('a ticket that was seen in an address opens nothing, and its own stream comes back with it', LIMIT, async (context) => {
  const way = await proxy(served.page);
  context.after(() => way.close());
  const page = await chromium.newPage();
  await page.goto(way.url);
  const channel = 'tickets';
  const first = await page.evaluate(async (channel) => {
    const { ticket, session } = await (await fetch('/v1/tickets', { method: 'POST' })).json();
    globalThis.heard = [];
    globalThis.address = `/v1/events?channel=${channel}&ticket=${ticket}`;
    globalThis.stream = new EventSource(address);
    stream.onmessage = ({ data }) => heard.push(JSON.parse(data));
    return session;
  }, channel);
  const hears = (count) => page.waitForFunction((count) => {
    const items = heard.flatMap(({ items = [] }) => items);
    return items.filter(({ type }) => type === 'event').length >= count;
  }, count);
  await page.waitForFunction(() => heard.some(({ items }) => items?.[0].type === 'subscribed'));
  await publish(served, channel, { n: 1 });
  await hears(1);

  const before = await refusals('ticket_used');
  const other = await page.evaluate(() => new Promise((done) => {
    const thief = new EventSource(address);
    thief.onmessage = ({ data }) => done(data);
    thief.onerror = () => done(thief.readyState === EventSource.CLOSED ? 'closed' : 'tries again');
  }));
  assert.equal(other, 'closed', 'it is told to stop');
  assert.equal(await refusals('ticket_used'), before + 1);

  way.cut();
  await publish(served, channel, { n: 2 });
  await hears(2);
  await publish(served, channel, { n: 3 });
  await hears(3);
  const { welcomes, numbers } = await page.evaluate(() => ({
    welcomes: heard.filter(({ type }) => type === 'welcome').map(({ session, resumed }) => ({ session, resumed })),
    numbers: heard.flatMap(({ items = [] }) => items).filter(({ type }) => type === 'event').map(({ data }) => data.n),
  }));
  assert.deepEqual(welcomes, [{ session: first, resumed: false }, { session: first, resumed: true }]);
  assert.deepEqual(numbers, [1, 2, 3], 'all, once, in order');
  await page.evaluate(() => stream.close());
});

/** Tries everything from a page or a frame: each attempt is refused and counted, and nothing came of any. */
async function isRefused(page, attempts, { page: base = served.page, admin = served.admin } = {}) {
  const held = await metric('throughline_sessions_opened_total');
  const published = await metric('throughline_events_published_total');
  for (const name of attempts) {
    const before = await refusals('origin_refused');
    const came = await page.evaluate(attack, { name, base, admin, hashes });
    if (came === 'absent') continue; // this browser gives such a page no such thing
    assert.equal(came, 'nothing', `${name}: a page without an origin of the gateway's has this of it`);
    assert.ok(await refusals('origin_refused') > before, `${name} is counted as refused`);
  }
  assert.equal(await metric('throughline_sessions_opened_total'), held);
  assert.equal(await metric('throughline_events_published_total'), published);
}

const refusals = (code) => metric(`throughline_refusals_total{code="${code}"}`);

async function metric(series) {
  const text = await (await fetch(new URL('metrics', served.admin))).text();
  const line = text.split('\n').find((line) => line.startsWith(`${series} `));
  assert.ok(line, `there is ${series}`);
  return Number(line.slice(series.length));
}

/** A site with nothing on it, by a name. */
async function site(name) {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(BLANK));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://${name}:${server.address().port}`;
  return { origin, url: `${origin}/`, close: () => closed(server) };
}

/** Passes connections on to the gateway, until it cuts them. */
async function proxy(address) {
  const { hostname, port } = new URL(address);
  const open = new Set();
  const server = createProxy((client) => {
    const onward = connect(Number(port), hostname);
    for (const [one, another] of [[client, onward], [onward, client]]) {
      open.add(one);
      one.pipe(another);
      one.on('error', () => {});
      one.on('close', () => {
        open.delete(one);
        another.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => open.forEach((socket) => socket.destroy());
  return { url: `http://127.0.0.1:${server.address().port}/`, cut, close: () => (cut(), closed(server)) };
}

async function closed(server) {
  server.closeAllConnections?.();
  await new Promise((done) => server.close(done));
}
