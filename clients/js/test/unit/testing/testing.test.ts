/** The clock and the gateway that applications test with. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

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
