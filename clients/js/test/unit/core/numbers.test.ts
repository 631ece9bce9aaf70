/** The numbered items over changing links: positions, acknowledgements, incarnations. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Incoming } from '../../../src/core/output.js';
import type { UpFrame } from '../../../src/protocol.js';
import { ack, Bench, closed, commands, event, helloOf, items, ping, position, reply, retry, send, subscribed, WALL_MS, welcome } from './bench.js';

const numberOf = (incoming: Incoming): number | undefined => ('number' in incoming ? incoming.number : undefined);
const acked = (frames: readonly UpFrame[]): number[] => frames.flatMap((frame) => (frame.type === 'ack' ? [frame.upTo] : []));

test('L5: a link that takes over hears again what was acknowledged elsewhere', () => {
  const [bench, poll] = Bench.up('polling');
  bench.taken();
  bench.polled();
  bench.migrate('websocket');
  const [probe, hello] = bench.opened();
  assert.equal(hello.attach, undefined);
  bench.down(probe, welcome(1, true), ping(7));
  assert.ok(bench.said().some((frame) => frame.type === 'attach' && frame.number === 3 && frame.after === 0));
  // The item comes by the old link, after the attach has said `after: 0`.
  bench.down(poll, items(1, subscribed('a', 0)));
  bench.taken();
  bench.run();
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 1 }]);
});

test('L5: what a hello did not acknowledge is acknowledged on its link once it is taken', () => {
  const [bench, old] = Bench.up('websocket');
  bench.pass(1_000);
  bench.taken();
  bench.down(old, items(1, subscribed('a', 0)));
  bench.ends(old);
  const [link, hello] = bench.opened();
  assert.equal(hello.resume?.after, 0, 'the application has not taken it');
  bench.down(link, welcome(1, true));
  bench.taken();
  bench.run();
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 1 }]);
});

test('L5: a link that carries the session again says again what was said and not taken', () => {
  const [bench, old] = Bench.up('websocket');
  bench.command(send());
  assert.equal(commands(bench.said())?.first, 1);
  bench.migrate('polling');
  const [poll] = bench.opened();
  bench.ends(poll);
  assert.equal(bench.core.active, old);
  assert.equal(commands(bench.said())?.first, 1);
});

test('L6: a post that was not confirmed is said again with numbers of the moment', () => {
  const [bench, stream] = Bench.up('sse');
  bench.taken();
  bench.command(send());
  const first = bench.one('post');
  assert.equal(commands(first.message)?.items.length, 1);
  bench.command(send());
  bench.down(stream, items(1, subscribed('a', 0)));
  bench.taken();
  bench.loses(first);
  assert.deepEqual(bench.run(), [], 'not in a rush');
  bench.pass(200);
  const second = bench.one('post');
  const again = commands(second.message);
  assert.deepEqual([again?.first, again?.items.length, again?.ack], [1, 2, 1]);
  // The late answer of the first confirms nothing any more.
  bench.answer(first, ack(1));
  bench.answer(second, ack(2));
  bench.pass(500);
  assert.deepEqual(bench.run(), [], 'all is confirmed');
});

test('L6: an acknowledgement by post counts only once it is confirmed', () => {
  const [bench, stream] = Bench.up('sse');
  bench.down(stream, items(1, subscribed('a', 0)));
  bench.taken();
  bench.run();
  bench.pass(200);
  const lost = bench.one('post');
  assert.deepEqual(acked(lost.message), [1]);
  bench.loses(lost);
  bench.pass(1_000);
  const again = bench.one('post');
  assert.deepEqual(acked(again.message), [1]);
  bench.answer(again);
  bench.pass(1_000);
  assert.deepEqual(bench.run(), []);
});

test('L11: items below the next are dropped, and one above it ends the link', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, items(1, subscribed('a', 0), event('a', 1)));
  bench.down(link, items(1, subscribed('a', 0), event('a', 1), event('a', 2)));
  assert.deepEqual(bench.taken().map(numberOf).filter(Boolean), [1, 2, 3]);
  bench.down(link, items(5, event('a', 4)));
  assert.equal(bench.core.active, undefined);
  assert.deepEqual(bench.taken(), []);
});

test('L15: a reply is heard while the application is behind, and nothing more is acknowledged', () => {
  const [bench, link] = Bench.up('websocket');
  const ticket = bench.command(send());
  bench.run();
  bench.down(link, items(1, subscribed('a', 0), event('a', 1), reply(1)));
  assert.equal(bench.outcome(ticket)?.kind, 'accepted');
  bench.run();
  bench.pass(1_000);
  assert.deepEqual(bench.said(), []);
  bench.taken();
  bench.run();
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 3 }]);
});

test('L15: a poll of an application that is behind is held back unless a reply is due', () => {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  bench.polled();
  bench.down(link, items(1, subscribed('a', 0), event('a', 1)));
  bench.taken();
  bench.core.holdBack(bench.now, 1);
  assert.deepEqual(bench.run(), []);
  bench.command(send());
  bench.answer(bench.one('post'), ack(1));
  bench.pass(200);
  assert.equal(bench.polled().resume?.after, 0, 'what was not taken is not acknowledged');
});

test('what a slow iterator holds back is not acknowledged until it is taken, and the session is not forgotten', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, items(1, subscribed('a', 0), event('a', 1), event('a', 2)));
  bench.taken();
  bench.core.holdBack(bench.now, 3);
  bench.run();
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 2 }]);
  bench.core.holdBack(bench.now, Infinity);
  bench.run();
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 3 }]);

  const [polling, poll] = Bench.up('polling');
  polling.taken();
  polling.polled();
  polling.down(poll, items(1, subscribed('a', 0)));
  polling.taken();
  polling.core.holdBack(polling.now, 1);
  polling.pass(14_999);
  assert.deepEqual(polling.run(), []);
  polling.pass(1);
  assert.equal(polling.polled().resume?.after, 0);
});

test('what is held back of a lost session holds nothing of the new one back', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, items(1, subscribed('a', 0)));
  bench.taken();
  bench.core.holdBack(bench.now, 1);
  bench.ends(old, closed(4100));
  const [link] = bench.opening();
  bench.down(link, welcome(2, false), items(1, reply(9)));
  bench.taken();
  bench.run();
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 1 }]);
});

test('a gateway that sends on and on beyond its windows loses the link, and one that keeps to them does not', () => {
  for (const [each, size, within] of [
    [512, 1, 1_024],
    [4, 100_000, 8],
  ] as const) {
    for (const taken of [true, false]) {
      const [bench, link] = Bench.up('websocket');
      bench.down(link, items(1, subscribed('a', 0)));
      for (let offset = 0; offset < 40 * within; offset += each) {
        const events = Array.from({ length: each }, (_, n) => ({ ...event('a', offset + n + 1), bytes: new Uint8Array(size) }));
        bench.taken();
        bench.core.holdBack(bench.now, taken ? offset + 2 : 1);
        bench.down(link, items(offset + 2, ...events));
        if (offset <= within) assert.ok(bench.open.has(link));
      }
      bench.run();
      assert.equal(bench.open.has(link), taken, `${each} events of ${size} bytes`);
    }
  }
});

test('half a window is acknowledged at once, and less after a while', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, items(1, subscribed('a', 0)));
  bench.taken();
  assert.deepEqual(bench.said(), []);
  bench.down(link, items(2, ...Array.from({ length: 511 }, (_, n) => event('a', n + 1))));
  bench.taken();
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 512 }]);
  bench.down(link, items(513, event('a', 512)));
  bench.taken();
  assert.deepEqual(bench.said(), []);
  bench.pass(200);
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 513 }]);
  // Half of the bytes, in the form of either payload.
  const large = { ...event('a', 513), data: { text: 'x'.repeat(65_536), more: ['x'.repeat(65_536)] } };
  bench.down(link, items(514, large));
  bench.taken();
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 514 }]);
  bench.down(link, items(515, { ...event('a', 514), bytes: new Uint8Array(131_072) }));
  bench.taken();
  assert.deepEqual(bench.said(), [{ type: 'ack', upTo: 515 }]);
});

test('an acknowledgement travels with commands for nothing', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, items(1, subscribed('a', 0)));
  bench.taken();
  bench.command(send());
  assert.equal(commands(bench.said())?.ack, 1);
  bench.pass(1_000);
  assert.deepEqual(acked(bench.said()), []);
});

test('N1: items of another incarnation mean nothing', () => {
  const [bench, old] = Bench.up('websocket');
  bench.migrate('polling');
  const [poll] = bench.opened();
  bench.down(poll, welcome(1, true, { incarnation: 2 }));
  bench.taken();
  bench.down(old, items(1, subscribed('a', 0)));
  assert.deepEqual(bench.taken(), []);
});

test('N1: numbers that a link states of the incarnation before mean nothing on its way to take over', () => {
  const [bench, old] = Bench.up('websocket', { negotiates: true, verdict: { transport: 'websocket', atMs: WALL_MS } });
  bench.taken();
  bench.down(old, retry('positions'));
  const [socket] = bench.opened();
  bench.pass(1_000);
  // A poll has joined, later and of the old numbers.
  const poll = bench.link('polling');
  bench.command(send());
  bench.down(socket, welcome(1, true, { incarnation: 2 }));
  bench.taken();
  bench.run();
  bench.down(poll, items(1, subscribed('a', 0)), ack(1));
  assert.deepEqual(bench.heard('subscribed'), []);
});

test('N3: positions are stated when they are asked for', () => {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  bench.polled();
  bench.down(link, items(1, subscribed('a', 4)));
  bench.taken();
  assert.equal(bench.polled().resume?.positions, undefined);
  bench.down(link, retry('positions'));
  const { resume } = bench.polled();
  assert.deepEqual([resume?.after, resume?.low, resume?.positions], [1, 1, { a: position(4) }]);
  bench.down(link, welcome(1, true, { incarnation: 2, next: 2 }));
  bench.taken();
  const next = bench.polled().resume;
  assert.deepEqual([next?.incarnation, next?.positions], [2, undefined]);
});

test('N3: a channel may have any name that the protocol allows', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, items(1, subscribed('__proto__', 4), subscribed('constructor', 5)));
  bench.taken();
  bench.down(link, retry('positions'));
  const positions = JSON.stringify(bench.opened()[1].resume?.positions);
  assert.equal(positions, '{"__proto__":{"epoch":"e","offset":4},"constructor":{"epoch":"e","offset":5}}');
});

test('N4: a rebuilt session is followed only if nothing stated has moved', () => {
  const [bench, old] = Bench.up('websocket');
  bench.migrate('polling');
  const [poll] = bench.opened();
  // What was stated moves before the answer comes.
  bench.down(old, items(1, subscribed('a', 4)));
  bench.down(poll, welcome(1, true, { incarnation: 2 }));
  const outputs = bench.run();
  assert.ok(outputs.some((output) => output.do === 'close' && output.link === old));
  const again = outputs.find((output) => output.do === 'poll');
  const { resume } = helloOf(again?.message ?? []);
  assert.deepEqual([resume?.incarnation, resume?.after, resume?.positions], [1, 1, { a: position(4) }]);
  bench.down(poll, welcome(1, true, { incarnation: 3, next: 2 }));
  assert.equal(bench.core.saved?.known?.incarnation, 3);
});

test('N4: a new session is not followed if a position has moved since it was stated', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, items(1, subscribed('a', 4)));
  bench.migrate('polling');
  const [poll] = bench.opened();
  bench.down(poll, retry('positions'));
  assert.deepEqual(bench.polled().resume?.positions, { a: position(4) });
  bench.down(old, items(2, event('a', 5)));
  bench.down(poll, welcome(2, false));
  assert.equal(bench.core.session, 'session 1');
  assert.deepEqual(bench.polled().resume?.positions, { a: position(5) });
  bench.down(poll, welcome(2, false));
  assert.equal(bench.core.session, 'session 2');
});

test('an event has the epoch of what preceded it, and a gap begins another', () => {
  const [bench, link] = Bench.up('websocket');
  const gap = { type: 'gap', channel: 'a', to: position(3, 'f'), exact: false, reason: 'epoch' } as const;
  bench.down(link, items(1, subscribed('a', 0), event('a', 1), gap, event('a', 4), event('b', 1)));
  assert.deepEqual(
    bench.heard('event').map(({ epoch, number }) => [epoch, number]),
    [
      ['e', 2],
      ['f', 4],
      [undefined, 5],
    ],
  );
});
