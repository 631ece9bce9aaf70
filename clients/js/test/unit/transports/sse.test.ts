/** An event stream, against a `fetch` that the test answers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import { json } from '../../../src/codec/json.js';
import { sse } from '../../../src/transports/sse.js';
import type { Opening } from '../../../src/transports/transport.js';
import { FakeFetch } from './fake-fetch.js';
import { bye, hello, pong, settled, watch } from './watch.js';

function begin(opening: Partial<Opening> = {}) {
  const net = new FakeFetch();
  return { net, ...watch(sse({ fetch: net.fetch }), opening) };
}

const EVENTS = { headers: { 'content-type': 'text/event-stream' } };
const bytes = (text: string) => new TextEncoder().encode(text);

test('the hello goes with the request, as text in any codec', () => {
  const { net, link } = begin({ codec: bincode() });
  const { url, init } = net.at(0);
  assert.equal(url, 'https://gateway.example/live/v1/events');
  assert.deepEqual([init.method, init.headers, init.body], ['POST', { 'content-type': 'text/plain' }, json().encode(hello)]);
  assert.equal(link.codec, json().name);
});

test('each event is a message, and its head is a sign of life', async () => {
  const { net, next, reports } = begin();
  const stream = net.at(0).stream(EVENTS);
  await settled();
  assert.deepEqual(reports, [['alive']]);
  stream.enqueue(bytes('retry: 1\ndata: {"type":"ping"}\n\ndata: {"type":"pong","nonce":7}\n\n'));
  assert.deepEqual(await next(), ['received', [{ type: 'ping' }, pong]]);
});

test('bytes that complete no event are a sign of life', async () => {
  const { net, reports } = begin();
  const stream = net.at(0).stream(EVENTS);
  await settled();
  stream.enqueue(bytes('data: {"ty'));
  stream.enqueue(bytes(': hello\n'));
  await settled();
  assert.deepEqual(reports, [['alive'], ['alive'], ['alive']]);
});

test('a letter that is cut is put together again', async () => {
  const { net, next } = begin();
  const stream = net.at(0).stream(EVENTS);
  const event = bytes('data: {"type":"error","code":"internal","message":"é😀","fatal":false}\n\n');
  for (const byte of event) stream.enqueue(Uint8Array.of(byte));
  assert.deepEqual(await next(), ['received', [{ type: 'error', code: 'internal', message: 'é😀', fatal: false }]]);
});

test('a stream that ends is lost', async () => {
  const { net, ended } = begin();
  net.at(0).stream(EVENTS).close();
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'the stream ended' });
});

test('a stream that breaks is lost, after what it brought', async () => {
  const { net, next, ended } = begin();
  const stream = net.at(0).stream(EVENTS);
  stream.enqueue(bytes('data: {"type":"pong","nonce":7}\n\n'));
  assert.deepEqual(await next(), ['received', [pong]]);
  stream.error(new TypeError('terminated'));
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'terminated' });
});

test('a request that is not answered loses the link', async () => {
  const { net, ended } = begin();
  net.at(0).fail(new TypeError('Failed to fetch'));
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'Failed to fetch' });
});

test('a frame that cannot be read ends the link after those before it, and lets the stream go', async () => {
  const { net, next, ended } = begin();
  net.at(0).stream(EVENTS).enqueue(bytes('data: {"type":"pong","nonce":7}\n\ndata: {}\n\n'));
  assert.deepEqual(await next(), ['received', [pong]]);
  assert.equal((await ended()).kind, 'protocol');
  assert.ok(net.at(0).isGivenUp);
});

test('bytes that are no text end the link', async () => {
  const { net, ended } = begin();
  net.at(0).stream(EVENTS).enqueue(Uint8Array.of(0xff));
  assert.equal((await ended()).kind, 'protocol');
});

test('a refusal that is a message is told before the status', async () => {
  const { net, next, ended } = begin();
  net.at(0).answer('{"type":"pong","nonce":7}\n', { status: 403, headers: { 'retry-after': '2' } });
  assert.deepEqual(await next(), ['received', [pong]]);
  assert.deepEqual(await ended(), { kind: 'refused', status: 403, retryAfterMs: 2_000 });
});

test('a refusal that is none is a status', async () => {
  const { net, ended } = begin();
  net.at(0).answer('<h1>no</h1>', { status: 404 });
  assert.deepEqual(await ended(), { kind: 'refused', status: 404 });
});

test('a page in place of a stream cannot be read', async () => {
  const { net, ended } = begin();
  net.at(0).answer('<!doctype html>');
  assert.equal((await ended()).kind, 'protocol');
});

test('posts go beside the stream', async () => {
  const { net, link, next } = begin({ codec: bincode() });
  net.at(0).stream(EVENTS);
  link.post(4, [pong]);
  assert.equal(net.at(1).url, 'https://gateway.example/live/v1/send');
  assert.equal(net.at(1).init.body, json().encode([pong]));
  net.at(1).answer('{"type":"pong","nonce":7}\n');
  assert.deepEqual(await next(), ['posted', 4, [pong]]);
  assert.equal(net.at(0).isGivenUp, false);
});

test('a link that is closed gives its stream up and reports nothing', async () => {
  const { net, link, reports } = begin();
  net.at(0).stream(EVENTS);
  link.post(1, [pong]);
  link.close(false);
  await settled();
  assert.deepEqual(net.requests.map(({ isGivenUp }) => isGivenUp), [true, true]);
  assert.deepEqual(reports, []);
});

test('a link that is closed in peace lets its last post arrive', async () => {
  const { net, link, reports } = begin();
  link.post(1, [bye]);
  link.close(true);
  net.at(1).answer(null);
  await settled();
  assert.deepEqual(net.requests.map(({ isGivenUp }) => isGivenUp), [true, false]);
  assert.deepEqual(reports, []);
});

test('an offer that leads nowhere is told once the link is there', async () => {
  const { net, link, ended } = begin({ offer: { name: 'sse', url: 'http://plain.example/' } });
  assert.ok(link);
  assert.equal((await ended()).kind, 'lost');
  assert.equal(net.requests.length, 0);
});
