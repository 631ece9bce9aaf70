/** The clock and the gateway that applications test with. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Rejected } from '../../../src/index.js';
import { FakeGateway, ManualClock } from '../../../src/testing.js';
import { world } from '../session/world.js';

test('a manual clock lets everything happen at its time, in order, with what follows from it', async () => {
  const clock = new ManualClock({ wallMs: 1_000_000 });
  const told: [number, string][] = [];
  const tell = (word: string) => (): void => void told.push([clock.now(), word]);
  clock.after(20, tell('second'));
  clock.after(10, () => {
    tell('first')();
    void Promise.resolve().then(() => clock.after(5, tell('nested')));
  });
  clock.after(20, tell('third'));
  const off = clock.after(1, tell('never'));
  off();
  clock.after(31, tell('later'));
  assert.equal(clock.nextInMs, 10);
  await clock.advance(30);
  assert.deepEqual(told, [
    [10, 'first'],
    [15, 'nested'],
    [20, 'second'],
    [20, 'third'],
  ]);
  assert.deepEqual([clock.now(), clock.wall(), clock.nextInMs], [30, 1_000_030, 1]);
});

test('a message takes the latency, in either direction, and is lost with its link', async () => {
  const { gateway, clock, open } = world({ latencyMs: 50 });
  const session = open({ transports: gateway.transports.filter(({ name }) => name === 'websocket') });
  await clock.advance(1_000);
  let handled = 0;
  gateway.onSend(() => ({ data: ++handled }));
  const since = clock.now();
  let repliedAt = 0;
  void session.send('room').then(() => (repliedAt = clock.now() - since));
  await clock.advance(200);
  assert.equal(repliedAt, 100);
  void session.send('room');
  await clock.advance(49);
  gateway.cut();
  assert.equal(handled, 1);
  await clock.advance(10_000);
  assert.equal(handled, 2, 'it is said again, and carried out once');
});

test('by default what is sent is published to its channel, with its sender', async () => {
  const { gateway, clock, open } = world({ authenticate: () => ({ user: 'ann' }) });
  const session = open();
  const room = session.subscribe('room');
  const senders: unknown[] = [];
  room.on('event', ({ sender, name, data }) => senders.push(sender, name, data));
  await clock.advance(1_000);
  const reply = session.send('room', 'hello', { name: 'said' });
  await clock.advance(0);
  assert.deepEqual(senders, [{ user: 'ann', session: 'session1' }, 'said', 'hello']);
  assert.deepEqual(await reply, { position: gateway.position('room') });
});

test('what a gateway is asked about, it tells', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  session.subscribe('room', { presence: true });
  await clock.advance(1_000);
  assert.deepEqual(gateway.sessions, ['session1']);
  assert.deepEqual(gateway.links, ['websocket']);
  assert.deepEqual(gateway.members('room'), [{ session: 'session1' }]);
  assert.deepEqual(
    gateway.tried.map(({ transport, outcome }) => [transport, outcome]),
    [
      ['polling', 'proven'],
      ['websocket', 'proven'],
      ['polling', 'preferred'],
    ],
  );
});

test('a gateway asks for a move, and sessions follow', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.migrate('sse');
  await clock.advance(1_000);
  assert.deepEqual(session.state, { name: 'live', transport: 'sse' });
});

test('everything happens at the same time in each run', async () => {
  const run = async (): Promise<unknown[]> => {
    const clock = new ManualClock();
    const gateway = new FakeGateway({ clock, latencyMs: 7 });
    const { connect } = await import('../../../src/index.js');
    let seed = 1;
    const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const session = connect('http://test/', { clock, random, transports: gateway.transports });
    const told: unknown[] = [];
    session.on('state', (state) => told.push([clock.now(), state]));
    session.subscribe('room').on('event', (event) => told.push([clock.now(), event]));
    for (let round = 0; round < 20; round++) {
      gateway.publish('room', round);
      if (round % 4 === 3) gateway.cut();
      await clock.advance(33);
    }
    return told;
  };
  const [one, other] = [await run(), await run()];
  assert.ok(one.length > 20);
  assert.deepEqual(one, other);
});

test('an idempotency key is honoured for five minutes: of a session, or of a user in any session', async () => {
  const { gateway, clock, open } = world({ authenticate: (token) => (token === undefined ? {} : { user: token }) });
  let carriedOut = 0;
  gateway.onSend(() => ({ data: ++carriedOut }));
  const [one, other] = [open(), open()];
  const [ann, again] = [open({ auth: () => 'ann' }), open({ auth: () => 'ann' })];
  const answers = async (): Promise<unknown[]> => {
    const sent = [one, one, other, ann, again].map((session) => session.send('room', 1, { id: 'once' }));
    await clock.advance(1_000);
    return (await Promise.all(sent)).map(({ data }) => data);
  };
  const first = await answers();
  assert.deepEqual([carriedOut, first[0] === first[1], first[3] === first[4]], [3, true, true]);
  await clock.advance(297_000);
  assert.deepEqual(await answers(), first);
  await clock.advance(2_000);
  await answers();
  assert.equal(carriedOut, 6);
});

test('an idempotency key of what was refused for now is good again', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  let calls = 0;
  gateway.onSend(() => {
    throw new Rejected({ code: 'no', message: 'no', retryable: ++calls < 2 });
  });
  for (let n = 0; n < 3; n++) {
    const refused = assert.rejects(session.send('room', 1, { id: 'once' }), Rejected);
    await clock.advance(1_000);
    await refused;
  }
  assert.equal(calls, 2);
});

test("channels that begin with $ are the gateway's own", async () => {
  const { clock, open } = world();
  const session = open();
  const refused = [session.subscribe('$sys').subscribed, session.send('$sys', 1)].map((asked) => assert.rejects(asked, { code: 'reserved_channel' }));
  await clock.advance(0);
  await Promise.all(refused);
});

test('who loses a link still takes part, for half a minute, and comes back when the link does', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const changes: string[] = [];
  const watcher = open({ transports: gateway.transports.filter(({ name }) => name === 'polling') }).subscribe('room', { presence: true });
  watcher.on('presence', ({ kind }) => changes.push(kind));
  await clock.advance(1_000);
  const sockets = gateway.transports.filter(({ name }) => name === 'websocket');
  const session = open({ transports: sockets, timing: { settledMs: 0 } });
  const room = session.subscribe('room', { presence: true });
  await clock.advance(1_000);
  gateway.block('websocket');
  await clock.advance(29_900);
  assert.deepEqual(changes.splice(0), ['state', 'join']);
  await clock.advance(200);
  assert.deepEqual(changes.splice(0), ['leave']);
  gateway.unblock('websocket');
  await clock.advance(60_000);
  assert.equal(session.state.name, 'live');
  assert.deepEqual([changes.splice(0), room.members.size, watcher.members.size], [['join'], 2, 2]);
  gateway.cut();
  await clock.advance(10_000);
  assert.deepEqual(changes, [], 'it was away for too short a time to be seen');
});
