/** A WebSocket in the hands of a test. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WebSocket as WsSocket } from 'ws';

import { bincode } from '../../../src/bincode.js';
import { json } from '../../../src/codec/json.js';
import type { Opening } from '../../../src/transports/transport.js';
import { webSocket } from '../../../src/transports/websocket.js';
import type { Socket } from '../../../src/transports/websocket.js';
import { hello, pong, settled, watch } from './watch.js';

/** A socket that does what the test says. */
class FakeSocket implements Socket {
  static last: FakeSocket | undefined;

  binaryType = 'blob';
  bufferedAmount = 0;
  protocol = '';
  onopen: unknown = null;
  onmessage: unknown = null;
  onerror: unknown = null;
  onclose: unknown = null;
  readonly sent: (string | Uint8Array)[] = [];
  readonly closedWith: (number | undefined)[] = [];
  readonly url: string;
  readonly asked: string;

  constructor(url: string, protocol: string) {
    this.url = url;
    this.asked = protocol;
    FakeSocket.last = this;
  }

  send(message: string | Uint8Array): void {
    this.sent.push(message);
  }

  close(code?: number): void {
    this.closedWith.push(code);
  }

  open(protocol = this.asked): void {
    this.protocol = protocol;
    call(this.onopen, {});
  }

  message(data: string | ArrayBuffer): void {
    call(this.onmessage, { data });
  }

  /** The platform's last word. */
  shut(code: number, message?: string): void {
    if (message !== undefined) call(this.onerror, { message });
    call(this.onclose, { code });
  }
}

function call(listener: unknown, event: object): void {
  if (typeof listener === 'function') (listener as (event: object) => void)(event);
}

function begin(opening: Partial<Opening> = {}, WebSocket = FakeSocket) {
  const watched = watch(webSocket({ WebSocket }), opening);
  const socket = FakeSocket.last;
  if (!socket) throw new Error('no socket was made');
  return { socket, ...watched };
}

async function opened(opening?: Partial<Opening>, WebSocket?: typeof FakeSocket) {
  const begun = begin(opening, WebSocket);
  begun.socket.open();
  assert.deepEqual(await begun.next(), ['opened']);
  return begun;
}

const PONG = '{"type":"pong","nonce":7}\n';

test('the codec is the subprotocol, and the scheme is its own', () => {
  const { socket } = begin({ base: new URL('http://gateway.example:7080/'), codec: bincode() });
  assert.deepEqual([socket.url, socket.asked], ['ws://gateway.example:7080/v1/websocket', 'throughline.v1.bincode']);
  assert.equal(socket.binaryType, 'arraybuffer');
  assert.equal(begin().socket.url, 'wss://gateway.example/live/v1/websocket');
});

test('nothing is said before it stands', async () => {
  const { socket, link } = begin();
  link.transmit(hello);
  link.transmitVolatile(hello);
  socket.open();
  link.transmit([pong]);
  assert.deepEqual(socket.sent, [json().encode([pong])]);
  await settled();
});

test('messages of text are frames, and one without any is a sign of life', async () => {
  const { socket, next, reports } = await opened();
  socket.message(`${PONG}{"type":"ping"}`);
  assert.deepEqual(await next(), ['received', [pong, { type: 'ping' }]]);
  socket.message('\n');
  assert.deepEqual(reports.at(-1), ['alive']);
});

test('messages of bytes are frames in the binary codec', async () => {
  const { socket, link, next } = await opened({ codec: bincode() });
  socket.message(Uint8Array.of(4, 9, 1, 7, 0).buffer);
  assert.deepEqual(await next(), ['received', [pong]]);
  link.transmit([pong]);
  assert.deepEqual(socket.sent, [Uint8Array.of(3, 9, 1, 7)]);
});

test('a message of the other kind ends the link', async () => {
  for (const [codec, data] of [[json(), new ArrayBuffer(0)], [bincode(), '']] as const) {
    const { socket, ended } = await opened({ codec });
    socket.message(data);
    assert.deepEqual(await ended(), { kind: 'protocol', reason: 'a message of the wrong kind' });
    assert.equal(socket.closedWith.length, 1);
  }
});

test('a frame that cannot be read ends the link after those before it', async () => {
  const { socket, next, ended } = await opened();
  socket.message(`${PONG}{}`);
  assert.deepEqual(await next(), ['received', [pong]]);
  assert.equal((await ended()).kind, 'protocol');
  assert.equal(socket.closedWith.length, 1);
});

test('a gateway that does not agree to the codec is not talked to', async () => {
  const { socket, ended } = begin();
  socket.open('');
  assert.deepEqual(await ended(), { kind: 'protocol', reason: 'the subprotocol was not agreed to' });
});

test('a handshake that is answered with no is refused, with the reason where one is told', async () => {
  for (const message of [undefined, 'Unexpected server response: 403']) {
    const { socket, ended } = begin();
    socket.shut(1006, message);
    assert.deepEqual(await ended(), { kind: 'failed', outcome: 'refused', reason: message ?? 'closed with code 1006' });
  }
});

test('a handshake that is not answered in time is hung, and not before', async () => {
  const { socket, clock, ended, reports } = begin({ connectMs: 3_000 });
  await clock.advance(2_999);
  assert.deepEqual(reports, []);
  await clock.advance(1);
  assert.deepEqual(await ended(), { kind: 'failed', outcome: 'hung', reason: 'its handshake was not answered' });
  assert.equal(socket.closedWith.length, 1);
});

test('a link that stands is not timed', async () => {
  const { clock, reports } = await opened();
  await clock.advance(60_000);
  assert.deepEqual(reports, [['opened']]);
});

test('a close with a code is told by its code', async () => {
  for (const code of [1000, 1009, 4000, 4300]) {
    const { socket, ended } = await opened();
    socket.shut(code);
    assert.deepEqual(await ended(), { kind: 'closed', code });
  }
});

test('a connection that just ends is lost', async () => {
  for (const code of [1005, 1006]) {
    const { socket, ended } = await opened();
    socket.shut(code);
    assert.deepEqual(await ended(), { kind: 'lost', reason: `closed with code ${code}` });
  }
});

test('an address that the page may not open is told once the link is there', async () => {
  class Forbidden extends FakeSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol);
      throw new DOMException('insecure', 'SecurityError');
    }
  }
  const { link, ended } = begin({}, Forbidden);
  link.transmit([pong]);
  assert.deepEqual(await ended(), { kind: 'failed', outcome: 'refused', reason: 'insecure' });
});

test('what may be dropped is, while enough waits to be written', async () => {
  const { socket, link } = await opened();
  socket.bufferedAmount = 16_384;
  link.transmitVolatile([pong]);
  assert.deepEqual(socket.sent, []);
  link.transmit([pong]);
  socket.bufferedAmount = 16_383;
  link.transmitVolatile([pong]);
  assert.equal(socket.sent.length, 2);
});

test('a link that is closed says and reports nothing more, whatever comes', async () => {
  const { socket, link, clock, reports } = await opened();
  link.close(false);
  link.transmit([pong]);
  socket.message(PONG);
  socket.shut(1000);
  await clock.advance(60_000);
  assert.deepEqual(reports, [['opened']]);
  assert.deepEqual(socket.sent, []);
  assert.deepEqual(socket.closedWith, [1000]);
});

test('a link that is closed in peace says nothing more, and reports that it ended when the gateway has closed it, once', async () => {
  const { socket, link, clock, reports } = await opened();
  link.close(true);
  link.transmit([pong]);
  socket.message(PONG);
  await clock.advance(60_000);
  assert.deepEqual([reports, socket.sent, socket.closedWith], [[['opened']], [], [1000]]);
  socket.shut(1000);
  socket.shut(1000);
  assert.deepEqual(reports, [['opened'], ['ended', { kind: 'closed', code: 1000 }]]);
});

test('a link that is closed before it stands reports nothing', async () => {
  const { socket, link, clock, reports } = begin();
  link.close(false);
  socket.open();
  await clock.advance(60_000);
  socket.shut(1006);
  assert.deepEqual(reports, []);
});

test('a link that has ended reports nothing more', async () => {
  const { socket, ended, reports } = await opened();
  socket.shut(4000);
  await ended();
  socket.message(PONG);
  socket.shut(1006);
  assert.equal(reports.length, 2);
});

test('a cut is hard where the platform can, and a goodbye never is', async () => {
  let cuts = 0;
  class Terminable extends FakeSocket {
    terminate(): void {
      cuts += 1;
    }
  }
  const cut = await opened({}, Terminable);
  cut.link.close(false);
  assert.deepEqual([cuts, cut.socket.closedWith], [1, []]);
  const peaceful = await opened({}, Terminable);
  peaceful.link.close(true);
  assert.deepEqual([cuts, peaceful.socket.closedWith], [1, [1000]]);
});

test('the platform\'s own or one that is handed in makes it possible', () => {
  const WebSocket: unknown = Reflect.get(globalThis, 'WebSocket');
  assert.equal(webSocket().missing(), WebSocket ? undefined : 'this platform has no WebSocket');
  assert.equal(webSocket({ WebSocket: WsSocket }).missing(), undefined);
});
