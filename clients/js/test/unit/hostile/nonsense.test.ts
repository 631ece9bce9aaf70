/** A gateway that talks nonsense costs its client the session at most: nothing is thrown, nothing waits for ever. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect } from '../../../src/index.js';
import { ManualClock } from '../../../src/testing.js';
import { CHANNELS, nonsense } from './nonsense.js';

const SEEDS = 800;
const MINUTE_MS = 60_000;

test('whatever a gateway says in a minute, nothing is thrown, and close ends all that waits', async () => {
  const kinds = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = new ManualClock();
    const { transports, random } = nonsense(clock, seed);
    const session = connect('http://test/', { clock, random, transports, verdicts: false });
    for (const kind of ['opened', 'resumed', 'lost', 'subscribed'] as const) session.on(kind, () => kinds.add(kind));
    // As long as the state of an epoch that the gateway made up is not reached, the snapshot is asked for again.
    const channel = session.subscribe('a', { presence: true, snapshot: async () => ({ state: 0, position: { epoch: 'e', offset: 7 } }) });
    for (const kind of ['event', 'gap', 'snapshot', 'presence', 'unsubscribed'] as const) channel.on(kind, () => kinds.add(kind));
    const loop = (async () => {
      for await (const _ of session.subscribe('b')) await new Promise<void>((resolve) => clock.after(700, resolve));
    })();
    const waits = [loop, session.ready(), ...CHANNELS.map((name, n) => session.send(name, n, isOdd(n) ? { id: `id${n}` } : {}))];
    const ends = Promise.allSettled(waits);
    for (let atMs = 0; atMs < MINUTE_MS; atMs += 5_000) {
      await clock.advance(5_000);
      assert.ok(String(session.explain()).length < 2_000, `seed ${seed}`);
    }
    void session.close();
    await clock.advance(MINUTE_MS);
    await ends;
    assert.equal(session.state.name, 'closed', `seed ${seed}`);
  }
  // Otherwise all of it was refused at the door, and nothing is shown.
  assert.deepEqual([...kinds].sort(), ['event', 'gap', 'lost', 'opened', 'presence', 'resumed', 'snapshot', 'subscribed', 'unsubscribed']);
});

test('channels with names that every object has are channels like others, and objects stay as they are', async () => {
  const before = Object.getOwnPropertyNames(Object.prototype).length;
  const clock = new ManualClock();
  const { transports, random } = nonsense(clock, 5);
  const session = connect('http://test/', { clock, random, transports, verdicts: false });
  for (const name of CHANNELS) assert.equal(session.subscribe(name).name, name);
  await clock.advance(MINUTE_MS);
  void session.close();
  await clock.advance(MINUTE_MS);
  assert.equal(Object.getOwnPropertyNames(Object.prototype).length, before);
});

const isOdd = (n: number): boolean => n % 2 === 1;
