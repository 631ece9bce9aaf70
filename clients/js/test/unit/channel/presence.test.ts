/** Presence: who takes part in a channel, asked for with it or later, and refused. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { PresenceChange } from '../../../src/index.js';
import { heard, superseded, tapped, world } from '../session/world.js';

test('who takes part is kept by session: everybody, then who joins and who leaves', async () => {
  const { clock, open } = world({ authenticate: (token) => (token === undefined ? {} : { user: token }) });
  const [ann, bob] = [open({ auth: () => 'ann' }), open({ auth: () => 'bob' })];
  const room = ann.subscribe('room', { presence: true });
  const changes = heard<PresenceChange>((hear) => room.on('presence', hear));
  const users = (): (string | undefined)[] => [...room.members.values()].map(({ user }) => user);
  await clock.advance(1_000);
  const before = room.members;
  assert.deepEqual(users(), ['ann']);
  const other = bob.subscribe('room', { presence: true });
  await clock.advance(0);
  assert.deepEqual(users(), ['ann', 'bob']);
  assert.equal(before.size, 1, 'a map that was handed out does not change');
  assert.equal(other.members.size, 2);
  void bob.close();
  await clock.advance(2_000);
  assert.deepEqual(users(), ['ann']);
  assert.deepEqual(
    changes.map(({ kind, count }) => [kind, count]),
    [
      ['state', 1],
      ['join', 2],
      ['leave', 1],
    ],
  );
});

test('presence may be asked for later, and comes back after the session was lost', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  assert.equal(room.members.size, 0);
  session.subscribe('room', { presence: true });
  await clock.advance(0);
  assert.equal(room.members.size, 1);
  gateway.loseSessions();
  await clock.advance(5_000);
  assert.deepEqual([...room.members.keys()], [session.id]);
});

test('presence that is refused is told, leaves the channel as it is, and may be asked for again', async () => {
  const { gateway, clock, open } = world({ members: 1 });
  const first = open().subscribe('room', { presence: true });
  await clock.advance(1_000);
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const changes = heard<PresenceChange>((hear) => room.on('presence', hear));
  const data = heard((hear) => room.on('event', ({ data }) => hear(data)));
  session.subscribe('room', { presence: true });
  await clock.advance(1_000);
  assert.deepEqual(
    changes.map(({ kind, count, error }) => [kind, count, error?.code]),
    [['state', 0, 'too_many_members']],
  );
  gateway.publish('room', 1);
  await first.leave();
  session.subscribe('room', { presence: true });
  await clock.advance(1_000);
  assert.deepEqual([data, [...room.members.keys()]], [[1], [session.id]]);
});

test('presence that is asked for in the same task as its channel is refused without it', async () => {
  const { gateway, clock, open } = world({ members: 1 });
  open().subscribe('room', { presence: true });
  await clock.advance(1_000);
  const session = open();
  const room = session.subscribe('room');
  session.subscribe('room', { presence: true });
  const changes = heard<PresenceChange>((hear) => room.on('presence', hear));
  const data = heard((hear) => room.on('event', ({ data }) => hear(data)));
  await clock.advance(1_000);
  gateway.publish('room', 1);
  await clock.advance(0);
  assert.deepEqual([room.end, changes.map(({ error }) => error?.code), data], [undefined, ['too_many_members'], [1]]);
});

test('presence that is refused in the moment in which a lost channel is renewed leaves it as it is', async () => {
  const { gateway, clock, open } = world({ members: 1 });
  open().subscribe('room', { presence: true });
  const { transports, say } = tapped(gateway);
  const session = open({ transports });
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const changes = heard<PresenceChange>((hear) => room.on('presence', hear));
  const data = heard((hear) => room.on('event', ({ data }) => hear(data)));
  say(superseded);
  session.subscribe('room', { presence: true });
  await clock.advance(5_000);
  gateway.publish('room', 1);
  await clock.advance(0);
  assert.deepEqual([room.end, changes.map(({ error }) => error?.code), data], [undefined, ['too_many_members'], [1]]);
});

test('what is told between a channel and its presence, asked for in the same task, is heard', async () => {
  const { gateway, clock, open } = world();
  for (let n = 1; n <= 2; n++) gateway.publish('room', n);
  const session = open();
  const room = session.subscribe('room', { from: { last: 2 } });
  session.subscribe('room', { presence: true });
  const told: unknown[] = [];
  room.on('subscribed', ({ command }) => told.push(`by ${String(command)}`));
  room.on('event', ({ data }) => told.push(data));
  await clock.advance(1_000);
  assert.deepEqual([told, room.members.size], [['by 1', 1, 2, 'by 2'], 1]);
});

test('a session that takes part no longer after it was lost forgets who does', async () => {
  const { gateway, clock, open } = world({ members: 1 });
  const session = open();
  const room = session.subscribe('room', { presence: true });
  await clock.advance(1_000);
  const changes = heard<PresenceChange>((hear) => room.on('presence', hear));
  const unsubscribed = heard((hear) => room.on('unsubscribed', hear));
  session.cut();
  gateway.loseSessions();
  open().subscribe('room', { presence: true });
  await clock.advance(5_000);
  assert.deepEqual([changes.map(({ error }) => error?.code), room.members.size, unsubscribed], [['too_many_members'], 0, []]);
});
