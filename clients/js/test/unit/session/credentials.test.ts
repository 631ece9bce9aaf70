/** Credentials by an async function. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { AuthContext } from '../../../src/index.js';
import { world } from './world.js';

type Reason = AuthContext['reason'];

test('credentials are asked for before the first link, which shows them', async () => {
  const { gateway, clock, open } = world({ authenticate: (token) => (token === 'ann' ? { user: 'ann' } : undefined) });
  const reasons: Reason[] = [];
  let give: (token: string) => void = () => {};
  const auth = ({ reason }: AuthContext): Promise<string> => {
    reasons.push(reason);
    return new Promise((resolve) => (give = resolve));
  };
  const session = open({ auth });
  await clock.advance(10_000);
  assert.deepEqual(session.state, { name: 'waiting', reason: 'waits for credentials', attempt: 1 });
  assert.deepEqual([reasons, gateway.links], [['start'], []]);
  give('ann');
  await clock.advance(0);
  assert.equal(session.state.name, 'live');
  assert.equal(session.user, 'ann');
});

test('credentials that are refused are asked for again, at once the first time and then further apart', async () => {
  const { clock, open } = world({ authenticate: (token) => (token === 'fifth' ? {} : undefined) });
  const calls: [number, Reason][] = [];
  const words = ['first', 'second', 'third', 'fourth', 'fifth'];
  const session = open({
    auth: async ({ reason }) => {
      calls.push([clock.now(), reason]);
      return words[calls.length - 1] ?? '';
    },
  });
  await clock.advance(60_000);
  assert.deepEqual(calls, [
    [0, 'start'],
    [500, 'unauthorized'],
    [1_500, 'unauthorized'],
    [3_500, 'unauthorized'],
    [7_500, 'unauthorized'],
  ]);
  assert.equal(session.state.name, 'live');
});

test('a function that throws is asked again, and the state says why and when', async () => {
  const { clock, open } = world();
  let calls = 0;
  const session = open({
    auth: async () => {
      if (calls++ < 2) throw new Error('no network');
      return 'token';
    },
  });
  await clock.advance(0);
  assert.deepEqual(session.state, { name: 'waiting', reason: 'no credentials: no network', attempt: 1, retryAt: clock.wall() + 500 });
  await clock.advance(500);
  assert.equal(calls, 2);
  await clock.advance(999);
  assert.equal(calls, 2);
  await clock.advance(1);
  assert.equal(session.state.name, 'live');
});

test('a function that takes too long is aborted and asked again, never two at once', async () => {
  const { clock, open } = world();
  const calls: [number, AbortSignal][] = [];
  open({
    auth: ({ signal }) => {
      assert.ok(calls.every(([, { aborted }]) => aborted));
      calls.push([clock.now(), signal]);
      return new Promise(() => {});
    },
  });
  await clock.advance(62_000);
  assert.deepEqual(
    calls.map(([at]) => at),
    [0, 30_500, 61_500],
  );
});

test('credentials are renewed before they expire, on the link that stands', async () => {
  const { clock, open } = world({ authenticate: () => ({ expiresInMs: 100_000 }) });
  const calls: [number, Reason][] = [];
  const session = open({
    auth: async ({ reason }) => {
      calls.push([clock.now(), reason]);
      return `token ${calls.length}`;
    },
  });
  await clock.advance(80_000);
  assert.deepEqual(calls.slice(0, 2), [
    [0, 'start'],
    [70_000, 'expiring'],
  ]);
  assert.equal(session.state.name, 'live');
});

test('closing aborts the call that is under way', async () => {
  const { clock, open } = world();
  let signal: AbortSignal | undefined;
  const session = open({
    auth: (context) => {
      ({ signal } = context);
      return new Promise(() => {});
    },
  });
  await clock.advance(0);
  void session.close();
  await clock.advance(5_000);
  assert.equal(signal?.aborted, true);
  assert.equal(clock.nextInMs, undefined);
});

test('a function that gives no credential enters as nobody', async () => {
  for (const none of ['', undefined]) {
    const shown: (string | undefined)[] = [];
    const authenticate = (token: string | undefined): object => {
      shown.push(token);
      return {};
    };
    const { clock, open } = world({ authenticate });
    const session = open({ auth: () => none });
    await clock.advance(1_000);
    assert.equal(session.state.name, 'live');
    assert.deepEqual(new Set(shown), new Set([undefined]));
  }
});

test('a function that gives no text is told so, and asked again', async () => {
  const { clock, open } = world();
  let calls = 0;
  const session = open({ auth: () => (calls++ ? 'token' : (5 as never)) });
  await clock.advance(0);
  assert.match(JSON.stringify(session.state), /no credentials: token is a text of at most 8192 bytes, not 5/);
  await clock.advance(500);
  assert.deepEqual([calls, session.state.name], [2, 'live']);
});
