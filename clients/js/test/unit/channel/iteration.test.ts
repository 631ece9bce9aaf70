/** Loops over a channel: at their own pace, nothing lost, nothing piled up. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { superseded, tapped, world } from '../session/world.js';

/** The next so many, without leaving the loop. */
async function take<T>(iterator: AsyncIterator<T, unknown>, count: number): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < count) {
    const { value, done } = await iterator.next();
    if (done) break;
    taken.push(value);
  }
  return taken;
}

test('a loop takes what happens, in order, and ends when the channel is left', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const data: unknown[] = [];
  let isOver = false;
  void (async () => {
    for await (const happening of room) data.push(happening.type === 'event' ? happening.data : happening.type);
    isOver = true;
  })();
  await clock.advance(1_000);
  gateway.publish('room', 1);
  gateway.gap('room');
  gateway.publish('room', 2);
  await clock.advance(0);
  void room.leave();
  await clock.advance(0);
  assert.deepEqual([data, isOver], [[1, 'gap', 2], true]);
});

test('a slow loop holds acknowledgements back: the gateway stops at its window, and nothing is lost', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  const iterator = room[Symbol.asyncIterator]();
  await clock.advance(1_000);
  for (let n = 1; n <= 3_000; n++) gateway.publish('room', n);
  await clock.advance(60_000);
  // What did not fit the window was not sent: the loop is behind, and so is the channel.
  assert.ok((room.position?.offset ?? 0) <= 1_024);
  // Replies are not held back.
  gateway.onSend(() => ({ data: 'here' }));
  const reply = session.send('other');
  await clock.advance(0);
  assert.deepEqual(await reply, { data: 'here' });

  const numbers: unknown[] = [];
  while (numbers.length < 3_000) {
    for (const happening of await take(iterator, 100)) numbers.push(happening.type === 'event' && happening.data);
    await clock.advance(1_000);
  }
  assert.deepEqual(
    numbers,
    Array.from({ length: 3_000 }, (_, index) => index + 1),
  );
});

test('a loop that was behind when its session was lost holds nothing of the next one back', async () => {
  const { gateway, clock, open } = world();
  const { transports, say } = tapped(gateway);
  const room = open({ transports }).subscribe('room');
  const data: unknown[] = [];
  void (async () => {
    for await (const happening of room) data.push(happening.type === 'event' && happening.data);
  })();
  await clock.advance(1_000);
  // One turn has two events, of which a loop takes one at a time, and the end of their session.
  gateway.publish('room', 1);
  gateway.publish('room', 2);
  queueMicrotask(() => say(superseded));
  await clock.advance(1_000);
  for (let n = 3; n <= 1_100; n++) {
    gateway.publish('room', n);
    await clock.advance(100);
  }
  assert.deepEqual(
    data,
    Array.from({ length: 1_100 }, (_, index) => index + 1),
  );
});

test('a loop that is broken off holds nothing back any more', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const loop = (async () => {
    for await (const happening of room) if (happening.type === 'event') break;
  })();
  await clock.advance(1_000);
  for (let n = 1; n <= 3_000; n++) gateway.publish('room', n);
  await clock.advance(60_000);
  await loop;
  assert.equal(room.position?.offset, 3_000);
});

test('each of two loops has everything, and the slower one counts', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const [fast, slow] = [room[Symbol.asyncIterator](), room[Symbol.asyncIterator]()];
  await clock.advance(1_000);
  for (let n = 1; n <= 2_000; n++) gateway.publish('room', n);
  await clock.advance(10_000);
  assert.equal((await take(fast, 1_024)).length, 1_024);
  await clock.advance(10_000);
  const offset = (): number | undefined => room.position?.offset;
  assert.equal(offset(), 1_024);
  await take(slow, 1_024);
  await clock.advance(10_000);
  assert.equal(offset(), 2_000);
});

test('a loop that is behind holds nothing back in the session after the one that was lost', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  const iterator = room[Symbol.asyncIterator]();
  await clock.advance(1_000);
  gateway.publish('room', 1);
  await clock.advance(0);
  gateway.loseSessions();
  await clock.advance(5_000);
  const other = session.subscribe('other');
  other.on('event', () => {});
  await clock.advance(0);
  for (let n = 1; n <= 3_000; n++) gateway.publish('other', n);
  await clock.advance(60_000);
  assert.equal(other.position?.offset, 3_000);
  assert.equal((await take(iterator, 1)).length, 1);
});

test('what waits when a channel ends is still taken', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const iterator = room[Symbol.asyncIterator]();
  await clock.advance(1_000);
  gateway.publish('room', 1);
  await clock.advance(0);
  gateway.forbid('room');
  await clock.advance(0);
  assert.equal((await take(iterator, 5)).length, 1);
});

test('what a loop has not taken counts by the numbers of the session that stands', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  const iterator = room[Symbol.asyncIterator]();
  await clock.advance(1_000);
  for (let n = 1; n <= 601; n++) gateway.publish('room', n);
  await clock.advance(1_000);
  await take(iterator, 600);
  gateway.loseSessions();
  await clock.advance(5_000);
  const other = session.subscribe('other');
  other.on('event', () => {});
  gateway.publish('room', 602);
  await clock.advance(1_000);
  for (let n = 1; n <= 3_000; n++) gateway.publish('other', n);
  await clock.advance(60_000);
  // The window begins at the one of this session, though one with a higher number is left of the session before.
  assert.ok((other.position?.offset ?? 0) <= 1_024);
  assert.equal((await take(iterator, 2)).length, 2);
  await clock.advance(60_000);
  assert.equal(other.position?.offset, 3_000);
});
