/** Each transport's links alone, against a real gateway: what a session says and hears, said by hand. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';

import { WebSocket } from 'ws';

import { bincode } from '../../src/bincode.js';
import { systemClock } from '../../src/clock.js';
import type { Codec } from '../../src/codec/codec.js';
import { json } from '../../src/codec/json.js';
import type { Command, DownFrame, Item, UpFrame, Welcome } from '../../src/protocol.js';
import { polling } from '../../src/transports/polling.js';
import { sse } from '../../src/transports/sse.js';
import type { Opening, Transport } from '../../src/transports/transport.js';
import { webSocket } from '../../src/transports/websocket.js';
import { watch } from '../unit/transports/watch.js';
import type { Watched } from '../unit/transports/watch.js';
import { gateway } from './gateway.js';
import type { Gateway } from './gateway.js';

let server: Gateway;
before(async () => (server = await gateway()));
after(() => server.stop());

const codecs: readonly Codec[] = [json(), bincode()];
const websocket = webSocket({ WebSocket });

type FrameOf<T> = DownFrame extends infer F ? (F extends { readonly type: infer K } ? (T extends K ? F : never) : never) : never;

/** A link, and the frames and items that came on it and were not looked at yet. */
class Talk {
  readonly frames: DownFrame[] = [];
  readonly items: Item[] = [];
  readonly watched: Watched;

  constructor(transport: Transport, opening: Partial<Opening> = {}) {
    this.watched = watch(transport, { base: server.url, clock: systemClock, ...opening });
  }

  get link() {
    return this.watched.link;
  }

  /** The next frame of this type, whichever way it came; what comes before it is kept. */
  async frame<T extends DownFrame['type']>(type: T): Promise<FrameOf<T>> {
    for (;;) {
      const at = this.frames.findIndex((frame) => frame.type === type);
      if (at >= 0) return this.frames.splice(at, 1)[0] as FrameOf<T>;
      await this.#more();
    }
  }

  async item<T extends Item['type']>(type: T): Promise<Extract<Item, { type: T }>> {
    for (;;) {
      const at = this.items.findIndex((item) => item.type === type);
      if (at >= 0) return this.items.splice(at, 1)[0] as Extract<Item, { type: T }>;
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const [what, ...about] = await this.watched.next();
    const frames = about.at(-1);
    if (what === 'opened') return;
    if (!Array.isArray(frames)) throw new Error(`${what}: ${JSON.stringify(about)}`);
    for (const frame of frames as DownFrame[]) {
      this.frames.push(frame);
      if (frame.type === 'items') this.items.push(...frame.items);
    }
  }
}

const hello = (attach = 1): UpFrame => ({ type: 'hello', version: 0, instance: 'me', attach });
const commands = (first: number, ...items: Command[]): UpFrame => ({ type: 'commands', first, items });
const named = ({ token, incarnation, link }: Welcome): UpFrame => ({ type: 'session', token, incarnation, link });
const again = ({ token, incarnation }: Welcome, attach: number, taken: number, low: number): UpFrame => ({
  type: 'hello',
  version: 0,
  instance: 'me',
  attach,
  resume: { token, incarnation, after: taken, low },
});
const channel = (name: string, { name: codec }: Codec) => `test:${name}-${codec}`;
const BYTES = Uint8Array.of(0, 255, 128);

for (const codec of codecs) {
  describe(codec.name, () => {
    test('a WebSocket carries a session from its hello to its goodbye', async () => {
      const room = channel('websocket', codec);
      const talk = new Talk(websocket, { codec });
      assert.deepEqual(await talk.watched.next(), ['opened']);
      talk.link.transmit([hello(), commands(1, { type: 'subscribe', channel: room })]);
      assert.equal((await talk.frame('welcome')).resumed, false);
      assert.equal((await talk.item('subscribed')).channel, room);
      talk.link.transmit([{ type: 'ack', upTo: 1 }, { type: 'ping', nonce: 9 }]);
      assert.equal((await talk.frame('pong')).nonce, 9);
      await server.publish(room, { n: 'é😀' });
      assert.deepEqual((await talk.item('event')).data, { n: 'é😀' });
      talk.link.transmit([commands(2, { type: 'send', channel: room, name: 'raw', meta: { a: 'b' }, bytes: BYTES })]);
      const [event, reply] = [await talk.item('event'), await talk.item('reply')];
      assert.deepEqual([event.name, event.meta, event.bytes], ['raw', { a: 'b' }, BYTES]);
      assert.deepEqual([reply.ok, reply.command, reply.position?.offset], [true, 2, event.offset]);
      talk.link.transmit([{ type: 'bye' }]);
      assert.deepEqual(await talk.watched.ended(), { kind: 'closed', code: 1000 });
    });

    test('what is volatile goes from one WebSocket to another', async () => {
      const room = channel('volatile', codec);
      const talks = [new Talk(websocket, { codec }), new Talk(websocket, { codec })] as const;
      for (const talk of talks) {
        assert.deepEqual(await talk.watched.next(), ['opened']);
        talk.link.transmit([hello(), commands(1, { type: 'subscribe', channel: room })]);
        await talk.item('subscribed');
      }
      talks[0].link.transmitVolatile([{ type: 'volatile', channel: room, name: 'cursor', seq: 1, data: [1, 2] }]);
      const { name, seq, data, sender } = await talks[1].frame('volatile');
      assert.deepEqual([name, seq, data, sender?.session], ['cursor', 1, [1, 2], (await talks[0].frame('welcome')).session]);
      for (const { link } of talks) link.close(false);
    });

    test('polls and posts carry a session from its hello to its goodbye', async () => {
      const room = channel('polling', codec);
      const talk = new Talk(polling(), { codec });
      talk.link.poll(1, [hello(), commands(1, { type: 'subscribe', channel: room })]);
      const welcome = await talk.frame('welcome');
      await talk.item('subscribed');
      talk.link.poll(2, [again(welcome, 2, 1, 2)]);
      await server.publish(room, { n: 1 });
      assert.deepEqual((await talk.item('event')).data, { n: 1 });
      talk.link.poll(3, [again(welcome, 3, 2, 2)]);
      talk.link.post(1, [named(welcome), commands(2, { type: 'send', channel: room, bytes: BYTES })]);
      assert.equal((await talk.frame('ack')).upTo, 2);
      talk.link.poll(4, [again(welcome, 4, 2, 2)]);
      const [event, reply] = [await talk.item('event'), await talk.item('reply')];
      assert.deepEqual([event.bytes, reply.ok, reply.position?.offset], [BYTES, true, event.offset]);
      talk.link.post(2, [named(welcome), { type: 'bye' }]);
      for (;;) {
        const [what, post] = await talk.watched.next();
        if (what === 'posted' && post === 2) break;
      }
      talk.link.post(3, [named(welcome)]);
      assert.equal((await talk.frame('error')).code, 'session_ended');
    });

    test('an event stream goes down, and posts go up beside it', async () => {
      const room = channel('sse', codec);
      const talk = new Talk(sse(), { codec, hello: [hello(), commands(1, { type: 'subscribe', channel: room })] });
      const welcome = await talk.frame('welcome');
      const { nonce = 0 } = await talk.frame('ping');
      talk.link.post(1, [named(welcome), { type: 'pong', nonce }]);
      await talk.frame('ack');
      await talk.item('subscribed');
      await server.publish(room, 'line\nend');
      assert.equal((await talk.item('event')).data, 'line\nend');
      talk.link.post(2, [named(welcome), commands(2, { type: 'send', channel: room, bytes: BYTES })]);
      const [event, reply] = [await talk.item('event'), await talk.item('reply')];
      assert.deepEqual([event.bytes, reply.ok], [BYTES, true]);
      talk.link.post(3, [named(welcome), { type: 'bye' }]);
      let report = await talk.watched.next();
      while (report[0] === 'posted') report = await talk.watched.next();
      assert.deepEqual(report, ['ended', { kind: 'lost', reason: 'the stream ended' }]);
    });

    test('a message that is too large is refused by a message', async () => {
      const talk = new Talk(polling(), { codec });
      const send: Command = { type: 'send', channel: 'test:large', data: 'x'.repeat(70_000) };
      talk.link.poll(1, [hello(), commands(1, send)]);
      assert.equal((await talk.frame('error')).code, 'message_too_large');
    });

    test('a large event comes in one piece on every transport', async () => {
      const room = channel('large', codec);
      const data = 'é'.repeat(30_000);
      const from = { last: 1 };
      await server.publish(room, data);
      const opening = [hello(), commands(1, { type: 'subscribe', channel: room, from })];
      for (const transport of [websocket, polling(), sse()]) {
        const talk = new Talk(transport, { codec, hello: opening });
        talk.link.poll(1, opening);
        if (transport.isDuplex) {
          assert.deepEqual(await talk.watched.next(), ['opened']);
          talk.link.transmit(opening);
        }
        const welcome = await talk.frame('welcome');
        await talk.item('subscribed');
        if (transport.name === 'polling') talk.link.poll(2, [again(welcome, 2, 1, 2)]);
        assert.equal((await talk.item('event')).data, data);
        talk.link.close(false);
      }
    });
  });
}

test('a path where no gateway is refuses every transport', async () => {
  const base = new URL('nowhere/', server.url);
  const poll = new Talk(polling(), { base });
  poll.link.poll(1, [hello()]);
  assert.deepEqual(await poll.watched.ended(), { kind: 'refused', status: 404 });
  assert.deepEqual(await new Talk(sse(), { base }).watched.ended(), { kind: 'refused', status: 404 });
  assert.deepEqual(await new Talk(websocket, { base }).watched.ended(), {
    kind: 'failed',
    outcome: 'refused',
    reason: 'Unexpected server response: 404',
  });
});

test('a handshake that nobody answers is given up in time', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const base = new URL(`http://127.0.0.1:${(silent.address() as AddressInfo).port}/`);
  const end = await new Talk(websocket, { base, connectMs: 50 }).watched.ended();
  assert.deepEqual(end, { kind: 'failed', outcome: 'hung', reason: 'its handshake was not answered' });
  silent.close();
});

test('a gateway that stops says so on every transport, and then answers none', async () => {
  const stopping = await gateway();
  const base = stopping.url;
  const talks = {
    polling: new Talk(polling(), { base }),
    sse: new Talk(sse(), { base }),
    websocket: new Talk(websocket, { base }),
  };
  talks.polling.link.poll(1, [hello()]);
  talks.polling.link.poll(2, [again(await talks.polling.frame('welcome'), 2, 0, 1)]);
  assert.deepEqual(await talks.websocket.watched.next(), ['opened']);
  talks.websocket.link.transmit([hello()]);
  await talks.websocket.frame('welcome');
  await talks.sse.frame('welcome');
  const stopped = stopping.stop();
  for (const talk of Object.values(talks)) assert.equal((await talk.frame('retry')).reason, 'drain');
  assert.deepEqual(await talks.websocket.watched.ended(), { kind: 'closed', code: 4000 });
  assert.deepEqual(await talks.sse.watched.ended(), { kind: 'lost', reason: 'the stream ended' });
  await stopped;

  talks.polling.link.poll(3, [hello()]);
  const ends = [
    await talks.polling.watched.ended(),
    await new Talk(sse(), { base }).watched.ended(),
    await new Talk(websocket, { base }).watched.ended(),
  ];
  assert.deepEqual(ends.map(({ kind }) => kind), ['lost', 'lost', 'failed']);
  for (const end of ends) assert.match('reason' in end ? end.reason : '', /ECONNREFUSED/);
});
