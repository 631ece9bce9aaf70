/** Coming back: retries, close codes, lost sessions, attempts. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import type { Output } from '../../../src/core/output.js';
import { ack, Bench, closed, commands, event, items, position, refusal, reply, retry, send, subscribe, subscribed, welcome } from './bench.js';

const untilMs = ({ core: { state } }: Bench): number | undefined => (state.name === 'waiting' ? state.retryAtMs : undefined);

test('C6: after a lost session sends are unknown and subscriptions are renewed', () => {
  const [bench, old] = Bench.up('websocket');
  const said = bench.command(send());
  bench.run();
  bench.down(old, items(1, subscribed('a', 4), event('a', 5)));
  bench.ends(old);
  const neverSaid = bench.command(send());
  const pending = bench.command(subscribe('b'));
  bench.wait();
  const [link] = bench.opened();
  bench.down(link, welcome(2, false, { reason: 'session_unknown' }));
  assert.deepEqual(bench.outcome(said), { kind: 'unknown' });
  assert.equal(bench.outcome(neverSaid), undefined);
  const again = commands(bench.said());
  const renewal = subscribe('a', { from: { position: position(5) } });
  assert.deepEqual([again?.first, again?.items], [1, [renewal, send(), subscribe('b')]]);
  assert.deepEqual(bench.heard('lost'), [{ hear: 'lost', reason: 'session_unknown', isFinal: false }]);
  bench.down(link, items(1, subscribed('b', 0, 3)));
  assert.equal(bench.outcome(pending)?.kind, 'subscribed');
});

test('C6: a send with an id is said again where the gateway knows its user, and while it remembers', () => {
  const outcomes = (user: string | undefined, then: string | undefined, waitMs: number, id?: string): string | undefined => {
    const bench = new Bench(['websocket']);
    const whose = (name: string | undefined) => (name === undefined ? {} : { user: name });
    const [old] = bench.opened();
    bench.down(old, welcome(1, false, whose(user)));
    const ticket = bench.command(send(id === undefined ? {} : { id }));
    bench.run();
    bench.down(old, ack(1));
    bench.now += waitMs;
    bench.ends(old, closed(4100));
    const outcomeNow = bench.outcome(ticket)?.kind;
    const [link] = bench.opened();
    bench.down(link, welcome(2, false, whose(then)));
    return outcomeNow ?? (commands(bench.said())?.items[0]?.type === 'send' ? 'said again' : 'forgotten');
  };
  assert.equal(outcomes('ann', 'ann', 0, 'x'), 'said again');
  assert.equal(outcomes('ann', 'ann', 0), 'unknown', 'nothing tells two copies apart');
  assert.equal(outcomes(undefined, undefined, 0, 'x'), 'unknown', 'an id of nobody is known within its session alone');
  assert.equal(outcomes('ann', 'ann', 240_000, 'x'), 'unknown', 'the gateway forgets');
});

test('C6: what the gateway takes up from positions is not asked for again', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, items(1, subscribed('a', 4)));
  bench.ends(old);
  bench.wait();
  const [asked] = bench.opened();
  bench.down(asked, retry('positions'));
  const [link, hello] = bench.opened();
  assert.deepEqual(hello.resume?.positions, { a: position(4) });
  bench.down(link, welcome(2, false));
  assert.deepEqual(bench.said(), []);
  // Lost before the first item came: the place is still known.
  bench.ends(link, closed(4003));
  bench.wait();
  assert.deepEqual(bench.opened()[1].resume?.positions, { a: position(4) });
});

for (const transport of ['websocket', 'polling'] as const) {
  test(`whoever comes back states its positions though nobody asked, by ${transport}`, () => {
    const [bench, old] = Bench.up(transport);
    bench.down(old, items(1, subscribed('a', 4)));
    bench.heard('subscribed');
    bench.ends(old);
    bench.wait();
    const [link, hello] = bench.opened();
    assert.deepEqual(hello.resume?.positions, { a: position(4) });
    bench.down(link, items(2, event('a', 5)));
    bench.heard('event');
    if (transport === 'polling') assert.equal(bench.polled().resume?.positions, undefined, 'a poll that goes on does not');
  });
}

test('whoever comes back by a poll posts what it has to say once that is answered', () => {
  const [bench, old] = Bench.up('polling');
  bench.ends(old);
  bench.command(send());
  bench.wait();
  const posts = (outputs: readonly Output[]): boolean => outputs.some((output) => output.do === 'post');
  const outputs = bench.run();
  const opened = outputs.find((output) => output.do === 'open');
  assert.ok(opened && !posts(outputs), 'one connection is enough to come back');
  bench.down(opened.link, welcome(1, true));
  assert.ok(posts(bench.run()));
});

test('positions that would acknowledge what is not taken wait to be asked for, and so do many', () => {
  for (const [isTaken, messageBytes, isStated] of [[true, 600, true], [false, 600, false], [true, 599, false]] as const) {
    const bench = new Bench(['websocket']);
    const [old] = bench.opened();
    const limits = { messageBytes, commandsAhead: 64, unacknowledgedItems: 1_024, unacknowledgedBytes: 262_144, subscriptions: 256, commandsPerSecond: 0 };
    bench.down(old, welcome(1, false, { limits }), items(1, subscribed('a', 4)));
    if (isTaken) bench.heard('subscribed');
    bench.ends(old);
    bench.wait();
    const { resume } = bench.opened()[1];
    assert.deepEqual([!!resume?.positions, resume?.after], [isStated, isTaken ? 1 : 0], `${isTaken} ${messageBytes}`);
  }
});

test('a renewal repeats the token of its channel, and one that is refused is told', () => {
  const [bench, old] = Bench.up('websocket');
  bench.command(subscribe('a', { token: 'key', from: { last: 3 } }));
  bench.run();
  bench.down(old, items(1, subscribed('a', 4, 1)));
  bench.ends(old, closed(4100));
  const [link, opening] = bench.opening();
  assert.ok(opening[0]?.type === 'hello' && !opening[0].resume);
  assert.deepEqual(commands(opening)?.items, [subscribe('a', { token: 'key', from: { position: position(4) } })]);
  bench.down(link, welcome(2, false), items(1, refusal(1, 'forbidden')));
  const [told] = bench.heard('unsubscribed');
  assert.deepEqual([told?.number, told?.item.channel, told?.item.reason, told?.error?.code], [undefined, 'a', 'revoked', 'forbidden']);
  bench.down(link, retry('positions'));
  assert.deepEqual(bench.opened()[1].resume?.positions, {});
});

/** A line of the table that every client runs. */
interface Vector {
  readonly name: string;
  readonly closeCode?: number;
  readonly retryReason?: string;
  readonly final?: boolean;
  readonly then?: string;
}

test('close codes and reasons are read as the table says', () => {
  const table = readFileSync(new URL('../../../../../tests/vectors/codes.json', import.meta.url), 'utf8');
  const { vectors } = JSON.parse(table) as { vectors: Vector[] };
  for (const { name, closeCode, retryReason, final, then: expected } of vectors) {
    const [bench, link] = Bench.up('websocket');
    // Something is not taken, so positions are only stated where they are asked for.
    bench.down(link, items(1, subscribed('a', 4)));
    if (closeCode !== undefined) bench.ends(link, closed(closeCode));
    else if (retryReason !== undefined) bench.down(link, retry(retryReason, 0, final));
    else continue; // an error code, which changes nothing of the link
    // A client may state positions wherever it resumes; this one does where another gateway is to be there.
    assert.equal(then(bench), retryReason === 'drain' ? 'statesPositions' : expected, name);
  }
});

/** What a client that lost its link does next. */
function then(bench: Bench): string {
  const { state } = bench.core;
  if (state.name === 'closed') return 'staysAway';
  if (state.name === 'waiting' && state.retryAtMs === undefined) return 'getsCredentials';
  bench.wait();
  const [link, { resume }] = bench.opened();
  if (!resume) return 'opensAnew';
  if (resume.positions) return 'statesPositions';
  return bench.open.get(link) === 'websocket' ? 'resumes' : 'triesAnother';
}

test('1009 fails the largest command on its way, and the others are said again', () => {
  const [bench, old] = Bench.up('websocket');
  const [small, large] = [send({ data: 1 }), send({ data: 'x'.repeat(100) })].map((command) => bench.command(command));
  bench.run();
  bench.ends(old, closed(1009));
  const outcome = bench.outcome(large!);
  assert.ok(outcome?.kind === 'rejected' && outcome.error.code === 'message_too_large');
  assert.equal(bench.outcome(small!), undefined);
});

test('a protocol that is broken twice is not tried again', () => {
  const bench = new Bench(['websocket', 'polling']);
  const [socket] = bench.opened();
  bench.down(socket, welcome(1, false));
  bench.ends(socket, closed(1002));
  bench.wait();
  const [poll] = bench.opened();
  assert.equal(bench.open.get(poll), 'polling');
  bench.down(poll, retry('protocol_error'));
  assert.deepEqual(bench.core.state, { name: 'closed', reason: 'protocol_error' });
  assert.ok(bench.core.isClosed);
});

test('a retry says when to come back, and whether', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, retry('drain', 2_000));
  // The close that follows says nothing new.
  bench.ends(old, closed(4000));
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'drain', attempt: 2, retryAtMs: 2_000 });
  bench.pass(1_999);
  assert.deepEqual(bench.all('open'), []);
  bench.pass(1);
  const [link] = bench.opened();
  const waiting = bench.command(send());
  bench.down(link, retry('disconnected', 0, true));
  assert.ok(bench.core.isClosed);
  assert.deepEqual(bench.outcome(waiting), { kind: 'closed' });
  assert.deepEqual(bench.heard('lost').at(-1), { hear: 'lost', reason: 'disconnected', isFinal: true });
});

test('a retry and its spread are obeyed exactly, for the chance that was handed in', () => {
  for (const [chance, expected] of [
    [0, 2_000],
    [0.5, 2_500],
    [0.999_999, 3_000],
  ] as const) {
    const [bench, link] = Bench.up('websocket', { random: () => chance });
    bench.down(link, { type: 'retry', delayMs: 2_000, spreadMs: 1_000, reason: 'drain' });
    assert.equal(untilMs(bench), expected);
  }
});

/** What a client waits that is welcomed each time, gets an event, and is sent away at once. */
function waitsOfOneSentAway(times: number, staysMs: number): number[] {
  const bench = new Bench(['websocket']);
  return Array.from({ length: times }, (_, n) => {
    const [link] = bench.opened();
    bench.down(link, welcome(1, n > 0, { backoff: { baseMs: 0, capMs: 0 } }), items(n + 1, subscribed('a', 4)));
    bench.now += staysMs;
    bench.down(link, retry('overload'));
    const until = untilMs(bench) ?? bench.now;
    const waitMs = until - bench.now;
    bench.now = until;
    return waitMs;
  });
}

test('whoever is sent away at once again and again comes back later and later', () => {
  const waits = waitsOfOneSentAway(40, 0);
  assert.deepEqual(waits.slice(0, 4), [0, 0, 0, 0], 'it is obeyed as far as anybody means it');
  for (const [n, waitMs] of waits.entries()) assert.ok(n < 4 || waitMs <= Math.min(30_000, 250 * 2 ** (n - 4)), `${n}: ${waitMs}`);
  const sumMs = waits.reduce((sum, waitMs) => sum + waitMs);
  assert.ok(sumMs > 60_000, `40 times in ${sumMs} ms`);
});

test('whoever is sent away after a while comes back when it is told', () => {
  assert.deepEqual(new Set(waitsOfOneSentAway(40, 30_000)), new Set([0]));
});

test('the advice behind a fatal error counts', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, { type: 'error', code: 'too_many_sessions', message: '', fatal: true }, retry('overload', 3_000));
  assert.equal(untilMs(bench), 3_000);
});

test('a refusal by status says when to come back', () => {
  const [bench, link] = Bench.up('sse');
  bench.ends(link, { kind: 'refused', status: 503, retryAfterMs: 7_000 });
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'refused with status 503', attempt: 2, retryAtMs: 7_000 });
});

test('a slot that is handed out is said in the next hello, and once', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, { type: 'retry', delayMs: 0, spreadMs: 0, reason: 'drain', slot: 'here' });
  const [link, hello] = bench.opened();
  assert.equal(hello.slot, 'here');
  bench.ends(link);
  bench.wait();
  assert.equal(bench.opened()[1].slot, undefined);
});

test('the transport that a retry names leads the next attempt, and a poll the one after it', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, { type: 'retry', delayMs: 0, spreadMs: 0, reason: 'drain', transports: [{ name: 'sse' }, { name: 'polling' }] });
  const [first] = bench.opened();
  assert.equal(bench.open.get(first), 'sse');
  bench.ends(first);
  bench.wait();
  assert.equal(bench.open.get(bench.opened()[0]), 'polling');
});

test('attempts back off, try the next transport, and never give up', () => {
  const bench = new Bench(['websocket', 'polling']);
  const tried: (string | undefined)[] = [];
  let longest = 0;
  for (let n = 0; n < 40; n++) {
    const [link] = bench.opened();
    tried.push(bench.open.get(link));
    bench.ends(link);
    const until = untilMs(bench) ?? bench.now;
    longest = Math.max(longest, until - bench.now);
    bench.now = until;
  }
  assert.deepEqual(tried.slice(0, 4), ['websocket', 'polling', 'websocket', 'polling']);
  assert.ok(longest > 10_000 && longest <= 30_000, `${longest}`);
});

test('the waits are those of the formula, for the chance that was handed in', () => {
  const bench = new Bench(['websocket'], { random: () => 0.999_999_999 });
  const waits: number[] = [];
  const [first] = bench.opened();
  bench.down(first, welcome(1, false, { windowMs: 1_500, backoff: { baseMs: 1_000, capMs: 30_000 } }));
  bench.pass(2_000);
  let link: number | undefined = first;
  for (let n = 0; n < 8; n++) {
    bench.ends(link);
    const until: number | undefined = untilMs(bench);
    assert.ok(until !== undefined);
    waits.push(until - bench.now);
    bench.now = until;
    [link] = bench.opened();
  }
  assert.deepEqual(waits, [1_500, 1_500, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test('a link that comes up, achieves nothing and is gone at once makes the next wait longer', () => {
  const bench = new Bench(['websocket'], { random: () => 0.999_999_999 });
  const waits: number[] = [];
  for (let n = 0; n < 4; n++) {
    const [link] = bench.opened();
    bench.down(link, welcome(1, n > 0));
    bench.ends(link);
    const until = untilMs(bench);
    assert.ok(until !== undefined);
    waits.push(until - bench.now);
    bench.now = until;
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000]);
});

test('an unauthorized session waits for credentials, for as long as it takes', () => {
  const [bench, old] = Bench.up('websocket', { auth: 'old' });
  bench.down(old, { type: 'error', code: 'unauthorized', message: '', fatal: true }, retry('unauthorized', 0, true));
  bench.ends(old, closed(4200));
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'unauthorized', attempt: 1, retryAtMs: undefined });
  bench.pass(3_600_000);
  assert.deepEqual(bench.all('open'), []);
  bench.core.authenticate(bench.now, 'new');
  const [, hello] = bench.opened();
  assert.deepEqual([hello.auth, hello.resume?.token], ['new', 'token 1'], 'the session is the same');
});

test('nothing is opened before there are credentials where they are needed', () => {
  const bench = new Bench(['polling'], { needsAuth: true });
  bench.command(subscribe('a'));
  assert.deepEqual(bench.run(), []);
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'unauthorized', attempt: 1, retryAtMs: undefined });
  assert.equal(bench.core.deadline(), Infinity);
  bench.core.authenticate(bench.now, 'token');
  const [, message] = bench.opening();
  assert.ok(message[0]?.type === 'hello' && message[0].auth === 'token');
  assert.equal(commands(message)?.items.length, 1);
});

test('fresh credentials go up on the link that is up, and it is known when they are over', () => {
  const bench = new Bench(['websocket']);
  const [link] = bench.opened();
  assert.equal(bench.core.authExpiresAtMs, Infinity);
  bench.down(link, welcome(1, false, { user: 'ann', authExpiresInMs: 60_000 }));
  assert.deepEqual([bench.core.user, bench.core.authExpiresAtMs], ['ann', 60_000]);
  bench.pass(10_000);
  bench.run();
  bench.core.authenticate(bench.now, 'next');
  assert.deepEqual(bench.said(), [{ type: 'auth', token: 'next' }]);
  assert.equal(bench.core.authExpiresAtMs, 70_000);
  const [streaming] = Bench.up('sse');
  streaming.core.authenticate(0, 'next');
  assert.deepEqual(streaming.one('post').message, [{ type: 'session', token: 'token 1', incarnation: 1, link: 7 }, { type: 'auth', token: 'next' }]);
});

test('counts that do not fit together are another session than this one', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, items(1, subscribed('a', 4)));
  bench.pass(1_000);
  bench.ends(old);
  const [link] = bench.opened();
  bench.down(link, welcome(1, true, { next: 9 }));
  assert.deepEqual(bench.heard('lost'), [{ hear: 'lost', reason: 'mismatch', isFinal: false }]);
  bench.wait();
  assert.equal(bench.opened()[1].resume, undefined);
});

test('a post whose session is gone asks by an attach what became of it', () => {
  const [bench, poll] = Bench.up('polling');
  bench.taken();
  bench.run();
  bench.pass(300);
  bench.command(send());
  bench.answer(bench.one('post'), { type: 'error', code: 'session_ended', message: '', fatal: true });
  assert.equal(bench.polled().attach, 3);
  bench.down(poll, items(1, reply(1)));

  const [streaming, stream] = Bench.up('sse');
  streaming.command(send());
  streaming.answer(streaming.one('post'), { type: 'error', code: 'incarnation_mismatch', message: '', fatal: true });
  assert.ok(streaming.all('close').some(({ link }) => link === stream));
});
