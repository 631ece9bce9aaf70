/** The parts that count: the backoff formula, commands, items, volatiles. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Guidance, appointmentMs, nextWaitMs } from '../../../src/core/backoff.js';
import { Inbox } from '../../../src/core/inbox.js';
import { Outbox, sizeOf } from '../../../src/core/outbox.js';
import { Volatiles } from '../../../src/core/volatile.js';
import { event, position, randomness, reply, send, subscribe, subscribed } from './bench.js';

const noop = { type: 'noop' } as const;
const x = send({ data: 'x' });

function boxOf(count: number): Outbox {
  const outbox = new Outbox(() => 0);
  for (let n = 1; n <= count; n++) outbox.push(x, n);
  return outbox;
}

/** The least and the most that an attempt waits. */
function waits(guidance: Guidance, attempt: number, agoMs = Infinity): [number, number] {
  return [nextWaitMs(guidance, attempt, agoMs, () => 0), nextWaitMs(guidance, attempt, agoMs, () => 1 - Number.EPSILON)];
}

test('the first attempt waits within the window, and later ones back off, twice as long each up to the cap', () => {
  const guidance = { windowMs: 1_500, backoff: { baseMs: 1_000, capMs: 30_000 } };
  const all = Array.from({ length: 8 }, (_, n) => waits(guidance, n + 1));
  assert.deepEqual(all.map(([least]) => least), Array(8).fill(0));
  assert.deepEqual(all.map(([, most]) => most), [1_500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  assert.deepEqual(waits({ ...guidance, windowMs: 0 }, 1), [0, 0]);
});

test('a later attempt begins a window after the one before, unless it backs off for longer', () => {
  const guidance = { windowMs: 1_500, backoff: { baseMs: 1_000, capMs: 30_000 } };
  assert.deepEqual(waits(guidance, 2, 200), [1_300, 1_300]);
  assert.deepEqual(waits(guidance, 3, 200), [1_300, 2_000]);
});

test('attempts are at least a window apart, and no longer than an hour, whatever the network says', () => {
  const random = randomness(1);
  const upTo = (most: number): number => Math.floor(random() * (most + 1));
  for (let n = 0; n < 2_000; n++) {
    const guidance = { windowMs: upTo(100_000), backoff: { baseMs: upTo(10_000), capMs: upTo(60_000) } };
    const [attempt, agoMs] = [2 + upTo(200), upTo(200_000)];
    const rest = Math.max(0, guidance.windowMs - agoMs);
    const backoff = Math.min(guidance.backoff.capMs, guidance.backoff.baseMs * 2 ** (attempt - 2));
    assert.deepEqual(waits(guidance, attempt, agoMs), [rest, Math.max(rest, backoff)]);
  }
  const largest = Number.MAX_SAFE_INTEGER;
  const longest = { windowMs: largest, backoff: { baseMs: largest, capMs: largest } };
  assert.deepEqual(waits(longest, 1), [0, 3_600_000]);
  assert.deepEqual(waits(longest, 5_000, 0), [3_600_000, 3_600_000]);
  assert.deepEqual(waits({ windowMs: 0, backoff: { baseMs: 0, capMs: 30_000 } }, 5_000), [0, 0]);
});

test('an appointment lies between its delay and its delay and spread, both ends included', () => {
  assert.equal(appointmentMs(2_000, 1_000, () => 0), 2_000);
  assert.equal(appointmentMs(2_000, 1_000, () => 1 - Number.EPSILON), 3_000);
  assert.equal(appointmentMs(2_000, 0, () => 0.999), 2_000);
  assert.equal(appointmentMs(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, () => 1 - Number.EPSILON), 7_200_000);
});

test('C2: an acknowledged command is kept until its reply', () => {
  const outbox = boxOf(2);
  outbox.run(0, 0, 64, 1_000);
  assert.ok(outbox.confirm(2));
  assert.deepEqual([outbox.low, outbox.next], [1, 3]);
  outbox.taken = 0;
  assert.deepEqual(outbox.run(0, 0, 64, 1_000), { type: 'commands', first: 1, items: [x, x] });
});

test('C2: a number whose reply is known is filled by a noop', () => {
  const outbox = boxOf(3);
  outbox.run(0, 0, 64, 1_000);
  assert.equal(outbox.reply(2)?.owner, 2);
  assert.equal(outbox.low, 1);
  assert.deepEqual(outbox.run(0, 0, 64, 1_000)?.items, [x, noop, x]);
  assert.equal(outbox.reply(1)?.owner, 1);
  assert.equal(outbox.low, 3);
  assert.deepEqual(outbox.run(0, 0, 64, 1_000)?.items, [noop, noop, x], 'as a gateway which took less than it said may want it');
});

test('C5: what opens a session ends before the first send', () => {
  const outbox = new Outbox(() => 0);
  assert.equal(outbox.openingRun(0, 64, 1_000), undefined);
  for (const command of [subscribe('a'), subscribe('b'), x, subscribe('c')]) outbox.push(command, 1);
  assert.deepEqual(outbox.openingRun(0, 64, 1_000)?.items, [subscribe('a'), subscribe('b')]);
  assert.equal(outbox.largestOnItsWay(), 2, 'the send is not said');
  assert.equal(boxOf(1).openingRun(0, 64, 1_000), undefined);
});

test('a reply that comes twice is told once', () => {
  const outbox = boxOf(2);
  outbox.run(0, 0, 64, 1_000);
  assert.deepEqual(
    [2, 2, 1, 1, 3, undefined].map((number) => outbox.reply(number)?.owner),
    [2, undefined, 1, undefined, undefined, undefined],
  );
  assert.equal(outbox.unrepliedSinceMs, Infinity);
});

test('no more commands run ahead than the gateway allows', () => {
  const outbox = boxOf(10);
  assert.equal(outbox.run(0, 0, 4, 10_000)?.items.length, 4);
  assert.ok(!outbox.hasRun(4, 4));
  outbox.reply(1);
  assert.deepEqual([outbox.hasRun(4, 4), outbox.run(0, 4, 4, 10_000)?.first], [true, 5]);
  assert.equal(boxOf(2).run(0, 0, 0, 10_000)?.items.length, 1, 'one at least, whatever the limit');
});

test('a run stays within its bytes, but says one at least', () => {
  const outbox = boxOf(4);
  assert.equal(outbox.run(0, 0, 64, 2 * sizeOf(x))?.items.length, 2);
  assert.equal(outbox.run(0, 2, 64, 1)?.items.length, 1);
});

test('a size is never less than what the command takes as text', () => {
  const bytes = new Uint8Array(100);
  for (const command of [x, send({ data: { '€"\n': ['\u0001', null, 1.5] }, id: '"', meta: { a: '€' } }), subscribe('a', { token: '"' })]) {
    assert.ok(sizeOf(command) >= Buffer.byteLength(JSON.stringify(command)), JSON.stringify(command));
  }
  const text = JSON.stringify({ type: 'send', channel: 'room', bytes: Buffer.from(bytes).toString('base64') });
  assert.ok(sizeOf({ type: 'send', channel: 'room', bytes }) >= text.length);
});

test('an acknowledgement of what was never numbered is not believed', () => {
  const outbox = boxOf(2);
  assert.deepEqual([3, 2, 1].map((number) => outbox.confirm(number)), [false, true, false]);
  assert.equal(outbox.taken, 2);
});

test('L11: a position follows subscribed, event, gap and unsubscribed', () => {
  const inbox = new Inbox();
  inbox.take(subscribed('a', 7), false);
  assert.deepEqual(inbox.positions.get('a'), position(7));
  inbox.take(event('a', 8), false);
  assert.deepEqual(inbox.positions.get('a'), position(8));
  inbox.take({ type: 'gap', channel: 'a', to: position(3, 'f'), exact: false, reason: 'epoch' }, false);
  inbox.take(event('a', 4), false);
  assert.deepEqual(inbox.positions.get('a'), position(4, 'f'));
  inbox.take({ type: 'unsubscribed', channel: 'a', reason: 'revoked' }, false);
  assert.equal(inbox.positions.size, 0);
  assert.equal(inbox.received, 5);
});

test('only what the application took may be acknowledged', () => {
  const inbox = new Inbox();
  inbox.take(reply(1), false);
  assert.deepEqual([inbox.taken, inbox.isBehind], [1, false]);
  inbox.take(subscribed('a', 0), false);
  inbox.take(event('a', 1), false);
  inbox.take(reply(2), false);
  assert.deepEqual([inbox.received, inbox.taken, inbox.isBehind], [4, 1, true]);
  inbox.poll();
  assert.equal(inbox.taken, 2);
  inbox.poll();
  assert.deepEqual([inbox.taken, inbox.isBehind], [4, false]);
});

test('what waits of a lost session holds no acknowledgement of the new one back', () => {
  const inbox = new Inbox();
  inbox.take(subscribed('a', 0), false);
  inbox.beginAnew();
  inbox.take(reply(1), false);
  assert.equal(inbox.taken, 1);
  assert.equal(inbox.poll()?.hear, 'subscribed');
});

test('an item of a later version counts', () => {
  const inbox = new Inbox();
  inbox.take({ type: 'unknown' }, false);
  assert.deepEqual([inbox.received, inbox.taken, inbox.poll()], [1, 1, undefined]);
});

const volatile = (channel: string, session: string | undefined, seq: number) =>
  ({ type: 'volatile', channel, time: 0, seq, ...(session !== undefined && { sender: { session } }) }) as const;

test('a volatile that is not above the last of its sender is old', () => {
  const volatiles = new Volatiles();
  const news = [
    volatile('a', 's', 5),
    volatile('a', 's', 5),
    volatile('a', 's', 4),
    volatile('a', 't', 1),
    volatile('b', 's', 1),
    volatile('a', 's', 6),
    volatile('a', undefined, 0),
  ].map((frame) => volatiles.isNews(frame));
  assert.deepEqual(news, [true, false, false, true, true, true, true]);
  volatiles.forget('a');
  assert.ok(volatiles.isNews(volatile('a', 's', 1)), 'the channel was left');
  assert.ok(!volatiles.isNews(volatile('b', 's', 1)));
  volatiles.forget();
  assert.ok(volatiles.isNews(volatile('b', 's', 1)), 'another session');
});

test('of the senders of volatiles a bounded number is remembered, the newest', () => {
  const volatiles = new Volatiles();
  for (let n = 0; n < 1_025; n++) assert.ok(volatiles.isNews(volatile('a', `${n}`, 1)));
  assert.ok(!volatiles.isNews(volatile('a', '1024', 1)));
  assert.ok(volatiles.isNews(volatile('a', '0', 1)));
});

test('numbers of volatiles begin with the clock, and rise also where it stands still', () => {
  const volatiles = new Volatiles();
  assert.deepEqual([1_000.7, 1_000.9, 10, 5_000].map((ms) => volatiles.number(ms)), [1_000, 1_001, 1_002, 5_000]);
});

test('only the newest volatile of a name waits, and no more than a few do', () => {
  const volatiles = new Volatiles();
  const wait = (name: string, seq: number): void => volatiles.wait({ type: 'volatile', channel: 'a', name, seq });
  for (let n = 0; n < 20; n++) wait('same', n);
  for (let n = 20; n < 40; n++) wait(`${n}`, n);
  const said = volatiles.drain(() => true);
  assert.deepEqual([said.length, said[0]?.seq, said.at(-1)?.seq], [16, 24, 39]);
  for (let n = 0; n < 20; n++) wait('same', n);
  assert.deepEqual(volatiles.drain(() => false), []);
  assert.deepEqual(
    volatiles.drain(() => true).map(({ seq }) => seq),
    [19],
  );
});
