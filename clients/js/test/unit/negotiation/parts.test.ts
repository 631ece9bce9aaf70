/** What the decisions rest on: candidates and their waits, the pace of the network, and the history. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Candidates, type Candidate, blame, forgive } from '../../../src/core/negotiation/candidates.js';
import { History } from '../../../src/core/negotiation/history.js';
import { Pace } from '../../../src/core/negotiation/pace.js';
import { defaultTiming } from '../../../src/core/timing.js';
import { options, seeded } from './world.js';

const all = () => new Candidates(options().transports, false);
const names = (candidates: readonly Candidate[]) => candidates.map(({ name }) => name);
const webSocket = (candidates: Candidates): Candidate => {
  const found = candidates.of('websocket');
  assert.ok(found);
  return found;
};

describe('candidates', () => {
  test('WebTransport waits for its offer unless the address is https', () => {
    const candidates = all();
    assert.deepEqual(names(candidates.order()), ['websocket', 'sse', 'polling']);
    candidates.recall({ name: 'webtransport' });
    assert.deepEqual(names(candidates.order()), ['webtransport', 'websocket', 'sse', 'polling']);
    const alone = options().transports.slice(0, 1);
    assert.deepEqual(names(new Candidates(alone, false).order()), ['webtransport'], 'nothing else is wanted');
    assert.deepEqual(new Candidates(options().transports, true).order()[0]?.name, 'webtransport');
  });

  test('what is not offered is not tried, and is told once', () => {
    const candidates = all();
    const offers = [{ name: 'websocket' }, { name: 'polling' }];
    assert.deepEqual(names(candidates.offerAll(offers)), ['webtransport', 'sse']);
    assert.deepEqual(names(candidates.order()), ['websocket', 'polling']);
    assert.deepEqual(names(candidates.offerAll(offers)), []);
    assert.deepEqual(candidates.offerAll([]), [], 'a gateway that names nothing has said nothing');
    assert.deepEqual(names(candidates.order()), ['websocket', 'polling']);
  });

  test('what is asked for comes first', () => {
    const candidates = all();
    candidates.asked = ['polling', 'sse'].flatMap((name) => candidates.of(name) ?? []);
    assert.deepEqual(names(candidates.order()), ['polling', 'sse', 'websocket']);
    candidates.pinned = webSocket(candidates);
    assert.deepEqual(names(candidates.order()), ['websocket', 'polling', 'sse']);
  });

  test('a failure is left alone twice as long each time, up to the cap, less a random quarter', () => {
    for (const [draw, part] of [[() => 0, 1], [() => 1 - 2 ** -32, 0.75]] as const) {
      const candidate = webSocket(all());
      const waits = [0, 1, 2, 3, 4, 5].map(() => {
        blame(candidate, 1_000, defaultTiming, draw);
        return candidate.notBeforeMs - 1_000;
      });
      const longest = [5_000, 10_000, 20_000, 40_000, 60_000, 60_000];
      for (const [n, wait] of waits.entries()) assert.ok(Math.abs(wait - part * (longest[n] ?? 0)) <= 1, `${n}: ${wait}`);
      assert.equal(candidate.failures, 6);
      forgive(candidate);
      assert.deepEqual([candidate.failures, candidate.notBeforeMs], [0, 0]);
    }
  });

  test('a failure that repeats for ever still has a wait', () => {
    const candidate = webSocket(all());
    const random = seeded(1);
    for (let n = 0; n < 2_000; n++) blame(candidate, 0, defaultTiming, random);
    assert.ok(candidate.notBeforeMs <= defaultTiming.reprobeCapMs);
    assert.ok(candidate.notBeforeMs >= defaultTiming.reprobeCapMs * 0.75);
  });
});

describe('the pace of a network', () => {
  const after = (...roundTrips: number[]) => {
    const pace = new Pace();
    for (const ms of roundTrips) pace.measure(ms);
    return pace;
  };
  const times = (n: number, ...ms: number[]) => Array.from({ length: n }, () => ms).flat();

  test('on a fast network the configured times count', () => {
    for (const pace of [after(), after(...times(8, 50)), after(40, 60, 50, 45)]) {
      assert.deepEqual([pace.late(defaultTiming), pace.patience(defaultTiming)], [750, 500]);
    }
  });

  test('on a slow network they stretch, and on one that wavers too', () => {
    assert.ok(after(...times(20, 600)).late(defaultTiming) >= 900);
    assert.ok(after(...times(3, 200, 900)).late(defaultTiming) > 1_200);
    assert.equal(after(60_000).late(defaultTiming), 5_000);
  });

  test('a new connection is given three round trips', () => {
    assert.equal(after().silence(1_000), 1_000);
    assert.equal(after(...times(8, 500)).silence(1_000), 1_500);
    assert.equal(after(60_000).silence(1_000), 5_000);
  });

  test('a shorter time counts as it is', () => {
    const pace = after(560, 580, 55);
    assert.deepEqual([pace.silence(0), pace.late(defaultTiming)], [165, 750], 'the page was busy');
    pace.measure(40, false);
    assert.equal(pace.silence(0), 120, 'as does an upper bound');
    pace.measure(900, false);
    assert.equal(pace.silence(0), 120, 'unless it is longer');
    pace.measure(120);
    assert.equal(pace.silence(0), 150, 'a longer one is smoothed');
  });
});

describe('the history', () => {
  test('keeps the newest, and tells each once', () => {
    const history = new History();
    for (let n = 0; n < 40; n++) history.note(n * 1_000, 'websocket', 'hung', n + 0.4, '');
    assert.equal(history.attempts.length, 32);
    assert.equal(history.attempts.at(-1)?.atMs, 39_000);
    const told = history.tell(40_000);
    assert.equal(told.length, 16);
    assert.deepEqual(told.at(-1), { type: 'tried', transport: 'websocket', outcome: 'hung', tookMs: 39, agoMs: 1_000 });
    assert.equal(history.hasUntold, false);
    assert.deepEqual(history.tell(40_000), []);
  });
});
