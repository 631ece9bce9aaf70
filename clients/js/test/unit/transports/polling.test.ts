/** Long-polling, against a `fetch` that the test answers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import { json } from '../../../src/codec/json.js';
import { polling } from '../../../src/transports/polling.js';
import { FakeFetch } from './fake-fetch.js';
import { bye, hello, pong, settled, watch } from './watch.js';
import type { Opening } from '../../../src/transports/transport.js';

function begin(opening: Partial<Opening> = {}) {
  const net = new FakeFetch();
  return { net, ...watch(polling({ fetch: net.fetch }), opening) };
}

const PONG = '{"type":"pong","nonce":7}\n';
const bytes = (text: string) => new TextEncoder().encode(text);

test('a link that is open asks nothing by itself', async () => {
  const { net, reports } = begin();
  await settled();
  assert.deepEqual([net.requests.length, reports.length], [0, 0]);
});

test('a poll is a post of text, which no browser asks leave for', () => {
  const { net, link } = begin();
  link.poll(3, hello);
  const { url, init } = net.at(0);
  assert.equal(url, 'https://gateway.example/live/v1/poll');
  const { method, headers, cache, credentials } = init;
  assert.deepEqual([method, headers], ['POST', { 'content-type': 'text/plain' }]);
  assert.deepEqual([cache, credentials], ['no-store', undefined]);
  assert.equal(init.body, json().encode(hello));
});

test('where cookies are left out, they are by posts too', () => {
  const { net, link } = begin();
  link.poll(3, hello, true);
  link.post(1, hello);
  link.poll(4, hello);
  assert.deepEqual([0, 1, 2].map((n) => net.at(n).init.credentials), ['omit', 'omit', undefined]);
});

test('a poll in the binary codec says so', () => {
  const { net, link } = begin({ codec: bincode() });
  link.poll(1, hello);
  assert.deepEqual(net.at(0).init.headers, { 'content-type': 'application/vnd.throughline.v1.bincode' });
  assert.deepEqual(net.at(0).init.body, bincode().encode(hello));
});

test('an answer is told with the attach of its poll', async () => {
  const { net, link, next } = begin();
  link.poll(3, hello);
  net.at(0).answer(PONG);
  assert.deepEqual(await next(), ['answered', 3, [pong]]);
});

test('an answer without a body has no frames', async () => {
  const { net, link, next } = begin();
  link.poll(3, hello);
  net.at(0).answer(null);
  assert.deepEqual(await next(), ['answered', 3, []]);
});

test('every piece of an answer is a sign of life', async () => {
  const { net, link, next, reports } = begin();
  link.poll(1, hello);
  const body = net.at(0).stream();
  for (const piece of [PONG.slice(0, 5), PONG.slice(5)]) {
    const before = reports.length;
    body.enqueue(bytes(piece));
    await settled();
    assert.deepEqual(reports.slice(before), [['alive']]);
  }
  body.close();
  assert.deepEqual(await next(), ['answered', 1, [pong]]);
});

test('another poll gives the earlier one up, and nothing is told of it', async () => {
  const { net, link, next, reports } = begin();
  link.poll(1, hello);
  link.poll(2, hello);
  assert.deepEqual([net.at(0).isGivenUp, net.at(1).isGivenUp], [true, false]);
  net.at(1).answer(PONG);
  assert.deepEqual(await next(), ['answered', 2, [pong]]);
  assert.ok(!reports.some(([what]) => what === 'ended'));
});

test('a poll whose answer has begun is given up as well', async () => {
  const { net, link, next, reports } = begin();
  link.poll(1, hello);
  net.at(0).stream().enqueue(bytes('{'));
  await settled();
  link.poll(2, hello);
  net.at(1).answer(PONG);
  assert.deepEqual(await next(), ['answered', 2, [pong]]);
  assert.deepEqual(reports.filter(([what]) => what !== 'alive').length, 1);
});

test('a status without a message ends the link, with when to come back', async () => {
  const { net, link, ended } = begin();
  link.poll(1, hello);
  net.at(0).answer('<h1>Bad gateway</h1>', { status: 502, headers: { 'retry-after': '7' } });
  assert.deepEqual(await ended(), { kind: 'refused', status: 502, retryAfterMs: 7_000 });
});

test('a day to come back on is not understood, and an hour is the longest wait', async () => {
  for (const [said, retryAfterMs] of [['Wed, 21 Oct 2026 07:28:00 GMT'], ['86400', 3_600_000]] as const) {
    const { net, link, ended } = begin();
    link.poll(1, hello);
    net.at(0).answer(null, { status: 503, headers: { 'retry-after': said } });
    assert.deepEqual(await ended(), { kind: 'refused', status: 503, ...(retryAfterMs && { retryAfterMs }) });
  }
});

test('a refusal that is a message is an answer', async () => {
  const { net, link, next } = begin();
  link.poll(1, hello);
  net.at(0).answer('{"type":"retry","delayMs":0,"spreadMs":0,"reason":"forbidden","final":true}\n', { status: 403 });
  assert.deepEqual(await next(), ['answered', 1, [{ type: 'retry', delayMs: 0, spreadMs: 0, reason: 'forbidden', final: true }]]);
});

test('a page in place of an answer cannot be read', async () => {
  const { net, link, ended } = begin();
  link.poll(1, hello);
  net.at(0).answer('<!doctype html>');
  assert.equal((await ended()).kind, 'protocol');
});

test('an answer above 4 MiB is read no further', async () => {
  const { net, link, ended } = begin();
  link.poll(1, hello);
  const body = net.at(0).stream();
  for (let mib = 0; mib < 4; mib++) body.enqueue(new Uint8Array(1 << 20).fill(32));
  body.enqueue(Uint8Array.of(32));
  assert.deepEqual(await ended(), { kind: 'protocol', reason: 'an answer is too large' });
});

test('a request that fails loses the link, and the reason is kept where there is one', async () => {
  const { net, link, ended } = begin();
  link.poll(1, hello);
  net.at(0).fail(new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') }));
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'fetch failed: connect ECONNREFUSED' });
});

test('an answer that breaks off loses the link, whatever was complete in it', async () => {
  const { net, link, ended } = begin();
  link.poll(1, hello);
  const body = net.at(0).stream();
  body.enqueue(bytes(PONG));
  body.error(new TypeError('terminated'));
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'terminated' });
});

test('a post goes beside the poll and is answered by its number', async () => {
  const { net, link, next } = begin();
  link.poll(1, hello);
  link.post(5, [pong]);
  assert.equal(net.at(1).url, 'https://gateway.example/live/v1/send');
  net.at(1).answer(PONG);
  assert.deepEqual(await next(), ['posted', 5, [pong]]);
  assert.equal(net.at(0).isGivenUp, false);
});

test('a post that fails is told, and the link lives', async () => {
  const { net, link, next } = begin();
  link.post(1, [pong]);
  net.at(0).fail(new TypeError('no network'));
  assert.deepEqual(await next(), ['posted', 1, 'no network']);
  link.post(2, [pong]);
  net.at(1).answer(null, { status: 502 });
  assert.deepEqual(await next(), ['posted', 2, 'refused with status 502']);
  link.post(3, [pong]);
  net.at(2).answer('<!doctype html>');
  const [what, post, reason] = await next();
  assert.deepEqual([what, post, typeof reason], ['posted', 3, 'string']);
});

test('another post gives the earlier one up, and no poll', async () => {
  const { net, link, next } = begin();
  link.poll(1, hello);
  link.post(1, [pong]);
  link.post(2, [pong]);
  assert.deepEqual(net.requests.map(({ isGivenUp }) => isGivenUp), [false, true, false]);
  net.at(2).answer(PONG);
  assert.deepEqual(await next(), ['posted', 2, [pong]]);
});

test('a goodbye outlives its page, and nothing else does', () => {
  const { net, link } = begin();
  link.poll(1, hello);
  link.post(1, [pong]);
  link.post(2, [pong, bye]);
  assert.deepEqual(net.requests.map(({ init }) => init.keepalive), [false, false, true]);
});

test('a link that is closed gives everything up and reports nothing', async () => {
  const { net, link, reports } = begin();
  link.poll(1, hello);
  link.post(1, [pong]);
  link.close(false);
  await settled();
  assert.deepEqual(net.requests.map(({ isGivenUp }) => isGivenUp), [true, true]);
  assert.deepEqual(reports, []);
});

test('a link that is closed in peace lets its last post arrive, and reports nothing', async () => {
  const { net, link, reports } = begin();
  link.poll(1, hello);
  link.post(1, [bye]);
  link.close(true);
  net.at(1).answer(PONG);
  await settled();
  assert.deepEqual(net.requests.map(({ isGivenUp }) => isGivenUp), [true, false]);
  assert.deepEqual(reports, []);
});

test('a link that has ended reports nothing more', async () => {
  const { net, link, ended, reports } = begin();
  link.poll(1, hello);
  link.post(1, [pong]);
  net.at(0).answer(null, { status: 502 });
  await ended();
  net.at(1).answer(PONG);
  await settled();
  assert.equal(reports.at(-1)?.[0], 'ended');
});

test('a poll goes where the offer says, and its posts beside it', () => {
  const { net, link } = begin({ offer: { name: 'polling', url: 'https://b.example:8443/x/poll?a=1' } });
  link.poll(1, hello);
  link.post(1, [pong]);
  assert.deepEqual(net.requests.map(({ url }) => url), ['https://b.example:8443/x/poll?a=1', 'https://b.example:8443/x/send']);
});

test('without a fetch there is no polling', () => {
  assert.equal(polling().missing(), undefined);
  const before = globalThis.fetch;
  try {
    Reflect.deleteProperty(globalThis, 'fetch');
    assert.equal(polling().missing(), 'this platform has no fetch');
    assert.equal(polling({ fetch: before }).missing(), undefined);
  } finally {
    globalThis.fetch = before;
  }
});

test('a page in place of an answer is told as what it is', async () => {
  const { net, link, ended } = begin();
  link.poll(1, hello);
  net.at(0).answer('<!doctype html>', { headers: { 'content-type': 'text/html; charset=utf-8' } });
  assert.deepEqual(await ended(), { kind: 'protocol', reason: 'this is no gateway: a page was answered' });
});
