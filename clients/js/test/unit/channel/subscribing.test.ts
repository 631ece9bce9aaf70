/** Channels: subscribed, left, subscribed again, by whomever. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Rejected } from '../../../src/index.js';
import type { Channel } from '../../../src/index.js';
import { heard, world } from '../session/world.js';

test('a channel tells its events with all that the gateway says of them', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const events = heard((hear) => room.on('event', hear));
  assert.deepEqual(room.freshness, { name: 'loading' });
  await clock.advance(1_000);
  gateway.publish('room', { n: 1 }, { name: 'said', key: 'k', meta: { a: 'b' } });
  await clock.advance(0);
  assert.deepEqual(events, [
    {
      type: 'event',
      channel: 'room',
      name: 'said',
      key: 'k',
      meta: { a: 'b' },
      data: { n: 1 },
      offset: 1,
      time: clock.wall(),
      position: { epoch: 'e1', offset: 1 },
      number: 2,
    },
  ]);
  assert.deepEqual(room.position, { epoch: 'e1', offset: 1 });
  assert.deepEqual((await room.subscribed).position, { epoch: 'e1', offset: 0 });
});

test('a subscription begins where it is told to', async () => {
  const { gateway, clock, open } = world();
  for (let n = 1; n <= 5; n++) gateway.publish('room', n);
  const session = open();
  const last = session.subscribe('room', { from: { last: 2 } });
  const data = heard<unknown>((hear) => last.on('event', (event) => hear(event.data)));
  await clock.advance(0);
  assert.deepEqual(data, [4, 5]);
  const other = open().subscribe('room', { from: { position: { epoch: 'e1', offset: 1 } } });
  const later = heard<unknown>((hear) => other.on('event', (event) => hear(event.data)));
  await clock.advance(0);
  assert.deepEqual(later, [2, 3, 4, 5]);
});

test('a channel that is subscribed twice is the same, and is held until it is left twice', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const [one, other] = [session.subscribe('room'), session.subscribe('room')];
  assert.equal(one, other);
  const data = heard<unknown>((hear) => one.on('event', (event) => hear(event.data)));
  await clock.advance(1_000);
  await one.leave();
  gateway.publish('room', 'still');
  await clock.advance(0);
  const left = other.leave();
  gateway.publish('room', 'no more');
  await clock.advance(0);
  await left;
  assert.deepEqual(data, ['still']);
  assert.deepEqual(one.end, { reason: 'requested' });
  await one.leave();
});

test('a subscribe right after leaving is another subscription, and hears nothing of the one before', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const rooms: Channel[] = [];
  const told: string[] = [];
  const subscribe = (): void => {
    const index = rooms.length;
    const room = session.subscribe('room', { from: { last: 1 } });
    rooms.push(room);
    room.on('subscribed', ({ command }) => told.push(`${index} subscribed by ${String(command)}`));
    room.on('event', ({ data }) => told.push(`${index} ${String(data)}`));
    room.on('unsubscribed', ({ reason }) => told.push(`${index} ${reason}`));
  };
  // Before anything is answered, and again while it is live.
  subscribe();
  void rooms[0]?.leave();
  subscribe();
  await clock.advance(1_000);
  gateway.publish('room', 'a');
  await clock.advance(100);
  void rooms[1]?.leave();
  subscribe();
  gateway.publish('room', 'b');
  await clock.advance(100);
  assert.deepEqual(told, ['0 requested', '1 subscribed by 3', '1 a', '1 requested', '2 subscribed by 5', '2 b']);
  assert.equal(new Set(rooms).size, 3);
});

test('who hears that a channel is left may subscribe again, and hears its events', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const data: unknown[] = [];
  room.on('unsubscribed', () => session.subscribe('room').on('event', (event) => data.push(event.data)));
  void room.leave();
  await clock.advance(100);
  gateway.publish('room', 1);
  await clock.advance(100);
  assert.deepEqual(data, [1]);
});

test('a channel that was left is not taken for one that the server has subscribed, even when the session is lost meanwhile', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const made = heard((hear) => session.on('subscribed', hear));
  const room = session.subscribe('room');
  await clock.advance(1_000);
  gateway.loseSessions();
  void room.leave();
  await clock.advance(5_000);
  const again = session.subscribe('room');
  const data = heard<unknown>((hear) => again.on('event', (event) => hear(event.data)));
  await clock.advance(100);
  gateway.publish('room', 1);
  await clock.advance(100);
  assert.deepEqual([made, data], [[], [1]]);
});

test('a subscription that is refused says so, and ends loops and freshness', async () => {
  const { gateway, clock, open } = world();
  gateway.forbid('secret');
  const room = open().subscribe('secret');
  const ends = heard((hear) => room.on('unsubscribed', hear));
  const loop = assert.rejects(async () => {
    for await (const _ of room);
  }, Rejected);
  const subscribed = assert.rejects(room.subscribed, (error: unknown) => error instanceof Rejected && error.code === 'forbidden');
  await clock.advance(0);
  await Promise.all([loop, subscribed]);
  assert.equal(room.end?.error?.code, 'forbidden');
  assert.deepEqual(ends, [room.end]);
  assert.deepEqual(room.freshness, { name: 'stale', sinceMs: clock.wall(), reason: 'ended' });
});

test('a subscription that the server revokes ends, and may be asked for again', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const ends = heard((hear) => room.on('unsubscribed', hear));
  gateway.forbid('room');
  await clock.advance(0);
  assert.deepEqual(ends, [{ reason: 'revoked' }]);
  assert.notEqual(session.subscribe('room'), room);
});

test('a channel that the server subscribes is told by the session, with its first event', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const data: unknown[] = [];
  session.on('subscribed', ({ channel }) => {
    assert.equal(channel.name, 'assigned');
    channel.on('event', (event) => data.push(event.data));
  });
  await clock.advance(1_000);
  gateway.subscribe('session1', 'assigned');
  gateway.publish('assigned', 1);
  await clock.advance(0);
  assert.deepEqual(data, [1]);
  const same = session.subscribe('assigned');
  await same.subscribed;
  await same.leave();
  gateway.publish('assigned', 2);
  await clock.advance(0);
  assert.deepEqual(data, [1]);
});

test('aborting its signal leaves a channel', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const stop = new AbortController();
  const room = session.subscribe('room', { signal: stop.signal });
  await clock.advance(1_000);
  stop.abort();
  await clock.advance(0);
  assert.deepEqual(room.end, { reason: 'requested' });
  const data = heard((hear) => room.on('event', hear));
  gateway.publish('room');
  await clock.advance(0);
  assert.deepEqual(data, []);
});

test('a channel that is subscribed again whenever it ends does not keep a session from closing', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const ends: string[] = [];
  const join = (): void => {
    // Enough to see that it goes on for ever.
    if (ends.length === 100) return;
    session.subscribe('room').on('unsubscribed', ({ reason }) => {
      ends.push(reason);
      join();
    });
  };
  join();
  await clock.advance(1_000);
  const closed = session.close();
  await clock.advance(1_000);
  await closed;
  assert.deepEqual([ends, gateway.sessions], [['closed'], []]);
});

test('what is told before anybody listens waits for the first who does', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  await clock.advance(1_000);
  gateway.publish('room', 1);
  gateway.gap('room');
  gateway.publish('room', 2);
  await clock.advance(0);
  const told: unknown[] = [];
  room.on('event', ({ data }) => told.push(data));
  room.on('gap', ({ reason }) => told.push(reason));
  assert.deepEqual(told, []);
  await clock.advance(0);
  assert.deepEqual(told, [1, 'trimmed', 2]);
});

test('what was left out for a client that fell behind is told as it is', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const told: unknown[] = [];
  room.on('event', ({ data }) => told.push(data));
  room.on('gap', ({ from, to, exact, reason }) => told.push([from?.offset, to.offset, exact, reason]));
  await clock.advance(1_000);
  gateway.publish('room', 1);
  await clock.advance(1_000);
  gateway.gap('room', { events: 3, conflated: true });
  gateway.publish('room', 5);
  await clock.advance(1_000);
  assert.deepEqual(told, [1, [1, 4, true, 'conflated'], 5]);
  assert.deepEqual(room.position, { epoch: 'e1', offset: 5 });
});

test('of what waits for the first listener the oldest is dropped in time, and a gap says so', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  await clock.advance(1_000);
  for (let n = 1; n <= 1_030; n++) {
    gateway.publish('room', n);
    if (n % 100 === 0) await clock.advance(1_000);
  }
  await clock.advance(1_000);
  const told: unknown[] = [];
  room.on('gap', ({ to, reason, exact }) => told.push([to.offset, reason, exact]));
  room.on('event', ({ data }) => told.push(data));
  await clock.advance(0);
  assert.deepEqual(told, [[6, 'overflow', false], ...Array.from({ length: 1_024 }, (_, index) => index + 7)]);
});

test('what is subscribed ahead of need is left again, unless somebody has come to need it', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const idle = session.prefetch('idle');
  const needed = session.prefetch('needed', { forMs: 10_000 });
  await clock.advance(5_000);
  gateway.publish('needed', 1);
  await clock.advance(0);
  const data = heard<unknown>((hear) => session.subscribe('needed').on('event', (event) => hear(event.data)));
  await clock.advance(24_999);
  assert.equal(idle.end, undefined);
  await clock.advance(1);
  assert.deepEqual(idle.end, { reason: 'requested' });
  gateway.publish('needed', 2);
  await clock.advance(0);
  assert.equal(needed.end, undefined);
  assert.deepEqual(data, [1, 2]);
});

test('what is subscribed ahead of need is left once: when its signal is aborted, or when its time is over', async () => {
  const { clock, open } = world();
  const session = open();
  const [early, late] = [new AbortController(), new AbortController()];
  session.prefetch('one', { signal: early.signal });
  session.prefetch('other', { signal: late.signal });
  const idle = session.prefetch('idle', { signal: early.signal });
  const gone = session.prefetch('gone', { signal: AbortSignal.abort() });
  const needed = [session.subscribe('one'), session.subscribe('other')];
  await clock.advance(10_000);
  early.abort();
  await clock.advance(20_000);
  late.abort();
  await clock.advance(1_000);
  assert.deepEqual(
    [idle, gone, ...needed].map(({ end }) => end?.reason),
    ['requested', 'requested', undefined, undefined],
  );
});
