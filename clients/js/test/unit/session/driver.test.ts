/** What the driver owes its core: the order of things within a turn, and one timer. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { json } from '../../../src/codec/json.js';
import type { CoreLike } from '../../../src/core/core.js';
import type { Incoming, Output, Saved } from '../../../src/core/output.js';
import { driver as drive, type Audience, type Driver } from '../../../src/driver.js';
import type { Link, Transport } from '../../../src/transports/transport.js';
import { ManualClock } from '../../../src/testing.js';

/** A core that does what it is told, and writes down what it is asked. */
function scripted(outputs: Output[], incoming: Incoming[], told: string[], more: Partial<CoreLike> = {}): CoreLike {
  const note =
    (word: string) =>
    (nowMs: number): void =>
      void told.push(`${word} at ${nowMs}`);
  const core: Partial<CoreLike> = {
    hasRoom: true,
    isClosed: false,
    saved: {} as Saved,
    settle: note('settle'),
    command: note('command'),
    handleOpened: note('opened'),
    handleEnded: (nowMs, link, end) => void told.push(`link ${link} ended at ${nowMs}: ${JSON.stringify(end)}`),
    pollOutput: () => outputs.shift(),
    pollIncoming: () => incoming.shift(),
    deadline: () => Infinity,
    ...more,
  };
  return core as CoreLike;
}

function begin(transports: readonly Transport[] = [], settled = (): void => {}): { clock: ManualClock; told: string[]; driver: Driver } {
  const clock = new ManualClock();
  const told: string[] = [];
  const audience: Audience = {
    keep: (saved) => void told.push(saved ? 'keep' : 'keep nothing'),
    settled: () => {
      told.push('settled');
      settled();
    },
    remember: () => void told.push('remember'),
    hear: ({ hear }) => void told.push(`hear ${hear}`),
    turned: () => void told.push('turned'),
  };
  const surroundings = { base: new URL('http://test/'), codec: json(), clock, connectMs: 5_000 };
  return { clock, told, driver: drive(surroundings, transports, audience) };
}

test('L9: what the next page needs is kept before anything is said; outcomes are told before anything is heard', async () => {
  const { clock, told, driver } = begin();
  const ticket = driver.ticket(() => void told.push('outcome'));
  const outputs: Output[] = [
    { do: 'remember', verdict: undefined },
    { do: 'settle', ticket, outcome: { kind: 'migrated' } },
  ];
  driver.start(scripted(outputs, [{ hear: 'up', session: 's', isResumed: false }], told));
  driver.request({ type: 'noop' }, () => {});
  assert.deepEqual(told, [], 'not before the current task is over');
  await clock.advance(0);
  assert.deepEqual(told.splice(0, 8), ['command at 0', 'settle at 0', 'keep', 'settled', 'remember', 'outcome', 'hear up', 'turned']);
  // What was heard may be acknowledged.
  assert.deepEqual(told, ['settle at 0', 'keep', 'settled', 'turned']);
});

test('where who is told of a turn closes the session, its end is in that turn too', async () => {
  let isClosed = false;
  const { clock, told, driver } = begin([], () => (isClosed = true));
  const core = scripted([], [], told);
  Object.defineProperty(core, 'isClosed', { get: () => isClosed });
  driver.start(core);
  await clock.advance(0);
  assert.deepEqual(told, ['settle at 0', 'keep', 'settled', 'keep nothing', 'settled', 'turned']);
});

test('what comes together is one turn', async () => {
  const { clock, told, driver } = begin();
  driver.start(scripted([], [], told));
  for (let n = 0; n < 3; n++) driver.change('handleOpened', 1);
  await clock.advance(0);
  assert.deepEqual(told, ['opened at 0', 'opened at 0', 'opened at 0', 'settle at 0', 'keep', 'settled', 'turned']);
});

test('there is one timer, for the deadline', async () => {
  const { clock, told, driver } = begin();
  const deadlines = [100, 50, 50, Infinity];
  driver.start(scripted([], [], told, { deadline: () => deadlines[0] ?? Infinity }));
  await clock.advance(0);
  assert.equal(clock.nextInMs, 100);
  deadlines.shift();
  driver.wake();
  await clock.advance(0);
  assert.equal(clock.nextInMs, 50);
  deadlines.splice(0, 2);
  await clock.advance(50);
  assert.deepEqual([told.filter((word) => word === 'settle at 50').length, clock.nextInMs], [1, undefined]);
});

test('a transport that throws is a link that failed', async () => {
  const open = (): Link => {
    throw new Error('not here');
  };
  const { clock, told, driver } = begin([{ name: 'websocket', isDuplex: true, missing: () => undefined, open }]);
  driver.start(scripted([{ do: 'open', link: 7, transport: 'websocket', offer: undefined, hello: [] }], [], told));
  await clock.advance(0);
  assert.ok(told.includes('link 7 ended at 0: {"kind":"failed","outcome":"refused","reason":"Error: not here"}'));
});

test('what was wanted before there was a core is done once there is one', async () => {
  const { clock, told, driver } = begin();
  driver.change('handleOpened', 1);
  driver.request({ type: 'noop' }, () => {});
  await clock.advance(10);
  assert.deepEqual(told, []);
  driver.start(scripted([], [], told));
  await clock.advance(0);
  assert.deepEqual(told.slice(0, 3), ['opened at 10', 'command at 10', 'settle at 10']);
});

test('commands wait while the core has no room, and keep their order', async () => {
  const { clock, told, driver } = begin();
  let room = 1;
  const commands: string[] = [];
  const core = scripted([], [], told, {
    command: (_, command) => {
      room -= 1;
      commands.push(command.type);
    },
  });
  Object.defineProperty(core, 'hasRoom', { get: () => room > 0 });
  driver.start(core);
  for (const type of ['noop', 'unsubscribe', 'noop'] as const) {
    driver.request(type === 'noop' ? { type } : { type, channel: 'room' }, () => {});
  }
  await clock.advance(0);
  assert.deepEqual(commands, ['noop']);
  room = 2;
  driver.wake();
  await clock.advance(0);
  assert.deepEqual(commands, ['noop', 'unsubscribe', 'noop']);
});
