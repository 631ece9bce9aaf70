/** How a session comes back, and what it tells meanwhile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NotMigrated } from '../../../src/index.js';
import { heard, world } from './world.js';

test('a link that is lost is replaced, and what was said meanwhile comes once and in order', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const room = session.subscribe('room');
  const data = heard<unknown>((hear) => room.on('event', (event) => hear(event.data)));
  await clock.advance(1_000);
  const resumed = heard<{ session: string }>((hear) => session.on('resumed', hear));
  for (let n = 0; n < 100; n++) {
    gateway.publish('room', n);
    if (n % 10 === 5) gateway.cut();
    await clock.advance(15);
  }
  await clock.advance(10_000);
  assert.deepEqual(
    data,
    Array.from({ length: 100 }, (_, n) => n),
  );
  assert.ok(resumed.length > 0 && resumed.every(({ session }) => session === 'session1'));
});

test('a gateway that turns the client away is obeyed exactly: the state has the time of the next attempt', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.refuse({ delayMs: 4_000, spreadMs: 2_000, reason: 'overload' });
  gateway.cut();
  await clock.advance(0);
  assert.deepEqual(session.state, { name: 'waiting', reason: 'overload', attempt: 3, retryAt: clock.wall() + 5_000 });
  gateway.accept();
  await clock.advance(4_999);
  assert.equal(session.state.name, 'waiting');
  await clock.advance(1);
  assert.equal(session.state.name, 'live');
});

test('a gateway that drains sends its clients to another, and they resume', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  const { id } = session;
  gateway.drain({ delayMs: 500 });
  await clock.advance(499);
  assert.equal(session.state.name, 'waiting');
  await clock.advance(5_000);
  assert.equal(session.state.name, 'live');
  assert.equal(session.id, id);
});

test('a session that is lost is replaced: it is told, and channels go on from where they were', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  const told: unknown[] = [];
  room.on('event', ({ data }) => told.push(data));
  room.on('gap', ({ reason }) => told.push(reason));
  session.on('lost', ({ reason }) => told.push(reason));
  session.on('opened', ({ session: id }) => told.push(id));
  await clock.advance(1_000);
  gateway.publish('room', 'before');
  await clock.advance(0);
  gateway.loseSessions();
  gateway.publish('room', 'meanwhile');
  await clock.advance(5_000);
  assert.deepEqual(told, ['session1', 'before', 'session_unknown', 'session2', 'meanwhile']);
});

test('a session that the gateway ends for good is closed, with the reason', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const lost = heard((hear) => session.on('lost', hear));
  gateway.disconnect();
  await clock.advance(60_000);
  assert.deepEqual(session.state, { name: 'closed', reason: 'disconnected' });
  assert.deepEqual(lost, [{ reason: 'disconnected', isFinal: true }]);
  assert.deepEqual(room.end, { reason: 'disconnected' });
  assert.deepEqual(gateway.links, []);
});

test('a session moves when it is asked to, with events in flight, and stays there', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const room = session.subscribe('room');
  const data = heard<unknown>((hear) => room.on('event', (event) => hear(event.data)));
  await clock.advance(1_000);
  let n = 0;
  for (const transport of ['sse', 'polling', 'websocket', 'polling', 'sse', 'websocket'] as const) {
    const moved = session.migrate(transport);
    for (let round = 0; round < 10; round++) {
      gateway.publish('room', n++);
      await clock.advance(7);
    }
    await clock.advance(5_000);
    await moved;
    assert.deepEqual(session.state, { name: 'live', transport });
  }
  assert.deepEqual(
    data,
    Array.from({ length: n }, (_, index) => index),
  );
  assert.equal(session.id, 'session1');
});

test('a move that cannot be made is refused, and the session stays', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.block('sse');
  const refused = assert.rejects(session.migrate('sse'), NotMigrated);
  await clock.advance(20_000);
  await refused;
  assert.deepEqual(session.state, { name: 'live', transport: 'websocket' });
  await assert.rejects(session.migrate('webtransport'), NotMigrated);
});

test('volatiles reach those who hold the channel, and nobody waits for them', async () => {
  const { gateway, clock, open } = world();
  const [one, other] = [open(), open()];
  const room = one.subscribe('room');
  other.subscribe('room');
  const told = heard((hear) => room.on('volatile', hear));
  assert.equal(other.sendVolatile('room', 'early'), false, 'there is no link');
  await clock.advance(1_000);
  assert.equal(other.sendVolatile('room', { x: 1 }, { name: 'cursor' }), true);
  gateway.publishVolatile('room', 2);
  await clock.advance(1_000);
  const time = clock.wall() - 1_000;
  assert.deepEqual(told, [
    { channel: 'room', time, data: 2 },
    { channel: 'room', name: 'cursor', time, sender: { session: 'session2' }, data: { x: 1 } },
  ]);
});

test('a volatile that the gateway would drop is not passed on: too large, or of a channel that is not subscribed', async () => {
  const { clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  assert.deepEqual(
    [
      room.sendVolatile(new Uint8Array(4_096)),
      room.sendVolatile(new Uint8Array(4_097)),
      room.sendVolatile('ü'.repeat(2_047)),
      room.sendVolatile('ü'.repeat(2_048)),
      room.sendVolatile(),
      session.sendVolatile('other', 1),
    ],
    [true, false, true, false, true, false],
  );
  await room.leave();
  assert.equal(room.sendVolatile(1), false);
});
