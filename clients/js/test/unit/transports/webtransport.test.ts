/** WebTransport, against a session that does what the test says. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import { json } from '../../../src/codec/json.js';
import type { UpFrame } from '../../../src/protocol.js';
import type { Opening } from '../../../src/transports/transport.js';
import { webTransport } from '../../../src/transports/webtransport.js';
import { FakeSession } from './fake-session.js';
import { hello, pong, settled, watch } from './watch.js';

function begin(opening: Partial<Opening> = {}, WebTransport = FakeSession) {
  const watched = watch(webTransport({ WebTransport }), opening);
  const session = FakeSession.last;
  if (!session) throw new Error('no session was made');
  return { session, ...watched };
}

async function opened(opening: Partial<Opening> = {}, protocol?: string) {
  const begun = begin(opening);
  begun.session.stand(protocol);
  assert.deepEqual(await begun.next(), ['opened']);
  return begun;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (pieces: readonly Uint8Array[]) => pieces.map((piece) => new TextDecoder().decode(piece)).join('');
const PONG = '{"type":"pong","nonce":7}\n';
const volatile: UpFrame = { type: 'volatile', channel: 'a', seq: 1, data: 1 };

test('it names its codec, and no certificate where the offer has none', () => {
  const { session } = begin({ codec: bincode() });
  assert.equal(session.url, 'https://gateway.example/live/v1/webtransport');
  assert.deepEqual(session.options, { protocols: ['throughline.v1.bincode'] });
});

test('it accepts the certificates that the offer names', () => {
  const { session } = begin({ offer: { name: 'webtransport', url: 'webtransport', certificateHashes: ['00ff10', 'a1'] } });
  assert.deepEqual(session.options.serverCertificateHashes, [
    { algorithm: 'sha-256', value: Uint8Array.of(0, 255, 16) },
    { algorithm: 'sha-256', value: Uint8Array.of(0xa1) },
  ]);
});

test('frames of text end with a line, wherever the stream is cut', async () => {
  const { session, link, next, reports } = await opened();
  link.transmit(hello);
  link.transmit([pong]);
  await settled();
  assert.equal(text(session.written), json().encode([...hello, pong]));
  session.down(bytes(PONG.slice(0, 9)));
  await settled();
  assert.deepEqual(reports.at(-1), ['alive']);
  session.down(bytes(`${PONG.slice(9)}${PONG}{`));
  assert.deepEqual(await next(), ['received', [pong, pong]]);
});

test('frames of the binary codec are behind their length', async () => {
  const { session, link, next } = await opened({ codec: bincode() });
  link.transmit([pong]);
  await settled();
  assert.deepEqual(session.written, [bincode().encode([pong])]);
  for (const byte of [4, 9, 1, 7, 0]) session.down(Uint8Array.of(byte));
  assert.deepEqual(await next(), ['received', [pong]]);
});

test('a browser that knows no protocols speaks text', async () => {
  const begun = begin({ codec: bincode() });
  begun.session.stand('');
  assert.deepEqual(await begun.next(), ['opened']);
  assert.equal(begun.link.codec, json().name);
  begun.link.transmit([pong]);
  await settled();
  assert.equal(text(begun.session.written), PONG);
  begun.session.down(bytes(PONG));
  assert.deepEqual(await begun.next(), ['received', [pong]]);
});

test('what may be lost goes as a datagram for each frame, and on the stream where it does not fit', async () => {
  const { session, link } = await opened();
  const large = { ...volatile, data: 'x'.repeat(100) };
  link.transmitVolatile([volatile, volatile]);
  await settled();
  link.transmitVolatile([large]);
  await settled();
  assert.deepEqual(session.datagramsSent.map((sent) => text([sent])), [json().encode([volatile])]);
  assert.equal(text(session.written), json().encode([large]));
});

test('what may be lost is, while what went before it waits', async () => {
  const { session, link } = await opened();
  let release = () => undefined as void;
  session.holding = new Promise((resolve) => (release = resolve));
  const large = { ...volatile, data: 'x'.repeat(100) };
  for (let round = 0; round < 5; round++) {
    link.transmitVolatile([volatile]);
    link.transmitVolatile([large]);
    await settled();
  }
  release();
  await settled();
  assert.deepEqual([session.datagramsSent.length, session.written.length], [1, 1]);
});

test('a datagram is a volatile or nothing', async () => {
  const { session, next, reports } = await opened();
  session.datagram(bytes(PONG));
  session.datagram(Uint8Array.of(0xff));
  session.datagram(bytes('{"type":"volatile","channel":"a","time":1,"seq":2}'));
  assert.deepEqual(await next(), ['received', [{ type: 'volatile', channel: 'a', time: 1, seq: 2 }]]);
  assert.equal(reports.length, 2);
});

test('a handshake that fails at once is refused', async () => {
  const { session, ended } = begin();
  session.refuse('Opening handshake failed.');
  assert.deepEqual(await ended(), { kind: 'failed', outcome: 'refused', reason: 'Opening handshake failed.' });
});

test('one that the browser gives up itself after a while is blocked', async () => {
  const { session, clock, ended } = begin({ connectMs: 5_000 });
  await clock.advance(4_900);
  session.refuse('timed out');
  assert.deepEqual(await ended(), { kind: 'failed', outcome: 'blocked', reason: 'timed out' });
});

test('one that is not answered in time is blocked, and not before', async () => {
  const { session, clock, ended, reports } = begin({ connectMs: 3_000 });
  await clock.advance(2_999);
  assert.deepEqual(reports, []);
  await clock.advance(1);
  assert.deepEqual(await ended(), { kind: 'failed', outcome: 'blocked', reason: 'nothing came back' });
  assert.equal(session.closedWith.length, 1);
});

test('a link that stands is not timed', async () => {
  const { clock, reports } = await opened();
  await clock.advance(60_000);
  assert.deepEqual(reports, [['opened']]);
});

test('a constructor that throws is told once the link is there', async () => {
  class Unknown extends FakeSession {
    constructor(url: string, options: ConstructorParameters<typeof FakeSession>[1]) {
      super(url, options);
      throw new DOMException('hashes are not supported', 'NotSupportedError');
    }
  }
  const { link, ended } = begin({}, Unknown);
  link.transmit(hello);
  assert.deepEqual(await ended(), { kind: 'failed', outcome: 'refused', reason: 'hashes are not supported' });
});

test('a gateway that ends the stream is read to the end and then let go', async () => {
  const { session, next, ended } = await opened();
  session.down(bytes(PONG));
  session.end();
  assert.deepEqual(await next(), ['received', [pong]]);
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'the gateway ended the stream' });
  assert.deepEqual(session.closedWith, [1000]);
});

test('a stream that was reset says its code', async () => {
  const { session, ended } = await opened();
  session.break('reset', { streamErrorCode: 4_300 });
  assert.deepEqual(await ended(), { kind: 'closed', code: 4_300 });
});

test('a session that was closed says its code where the browser is told', async () => {
  const { session, ended } = await opened();
  session.break('closed', { closeCode: 4_000 });
  assert.deepEqual(await ended(), { kind: 'closed', code: 4_000 });
});

test('a code that is none of the protocol\'s is a loss', async () => {
  for (const code of [0, 256, 5_000]) {
    const { session, ended } = await opened();
    session.break('reset', { streamErrorCode: code });
    assert.deepEqual(await ended(), { kind: 'lost', reason: 'reset' });
  }
});

test('a connection that just ends is lost', async () => {
  const { session, ended } = await opened();
  session.break('Connection lost.');
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'Connection lost.' });
});

test('a session that never says how it closed is not waited for', async () => {
  const { session, clock, ended, reports } = await opened();
  Object.defineProperty(session, 'closed', { value: new Promise(() => undefined) });
  session.break('gone');
  await clock.advance(249);
  assert.equal(reports.length, 1);
  await clock.advance(1);
  assert.deepEqual(await ended(), { kind: 'lost', reason: 'gone' });
});

test('a frame that cannot be read ends the link after those before it', async () => {
  const { session, next, ended } = await opened();
  session.down(bytes(`${PONG}{}\n`));
  assert.deepEqual(await next(), ['received', [pong]]);
  assert.equal((await ended()).kind, 'protocol');
  assert.deepEqual(session.closedWith, [1002]);
});

test('a goodbye ends the stream behind what was said, and hangs up once the gateway has', async () => {
  const { session, link, reports } = await opened();
  link.transmit([{ type: 'bye' }]);
  link.close(true);
  await settled();
  assert.deepEqual([text(session.written), session.hasEnded, session.closedWith], ['{"type":"bye"}\n', true, []]);
  session.down(bytes(PONG));
  await settled();
  assert.deepEqual(reports, [['opened']]);
  session.end();
  await settled();
  assert.deepEqual(session.closedWith, [1000]);
  assert.deepEqual(reports, [['opened'], ['ended', { kind: 'lost', reason: 'the gateway ended the stream' }]]);
});

test('a goodbye that is not answered hangs up after five seconds', async () => {
  const { session, link, clock, reports } = await opened();
  link.close(true);
  await clock.advance(4_999);
  assert.deepEqual(session.closedWith, []);
  await clock.advance(1);
  assert.deepEqual(session.closedWith, [1000]);
  assert.deepEqual(reports, [['opened']]);
});

test('a link that is cut hangs up at once and reports nothing more', async () => {
  const { session, link, clock, reports } = await opened();
  link.close(false);
  link.transmit([pong]);
  link.transmitVolatile([volatile]);
  session.down(bytes(PONG));
  session.break('closed');
  await clock.advance(60_000);
  assert.equal(session.closedWith[0], 1000);
  assert.deepEqual([session.written, session.datagramsSent, reports], [[], [], [['opened']]]);
});

test('a link that is closed before it stands reports nothing', async () => {
  const { session, link, clock, reports } = begin();
  link.close(true);
  session.stand();
  await clock.advance(60_000);
  assert.deepEqual(reports, []);
  assert.equal(session.closedWith[0], 1000);
});

test('a platform without it says so', () => {
  assert.equal(webTransport().missing(), 'this platform has no WebTransport');
  assert.equal(webTransport({ WebTransport: FakeSession }).missing(), undefined);
});
