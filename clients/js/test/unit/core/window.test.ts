/** The window in which a client comes back: its place in it, and one link in each. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Output } from '../../../src/core/output.js';
import type { TransportName } from '../../../src/protocol.js';
import { ack, Bench, ping, pong, send, WALL_MS, welcome } from './bench.js';

/** A client of a gateway with which a WebSocket was proven before. */
const remembering = (): Bench =>
  new Bench(['websocket', 'polling'], { negotiates: true, verdict: { transport: 'websocket', atMs: WALL_MS - 1_000_000 } });

/** The same, of a client of three transports, of which this one was proven. */
const rememberingOfThree = (transport: TransportName = 'websocket'): Bench =>
  new Bench(['websocket', 'sse', 'polling'], { negotiates: true, verdict: { transport, atMs: WALL_MS - 1_000_000 } });

const opens = (outputs: readonly Output[]): TransportName[] => outputs.flatMap((output) => (output.do === 'open' ? [output.transport] : []));

test('a fleet comes back by one connection each for as long as the window', () => {
  const bench = remembering();
  const [first] = bench.opened();
  bench.down(first, welcome(1, false, { windowMs: 5_000 }));
  bench.taken();
  bench.run();
  for (let n = 0; n < 6; n++) {
    bench.pass(10_000);
    bench.down(first, ping());
  }
  bench.ends(first);
  bench.wait();
  assert.deepEqual(opens(bench.run()), ['websocket']);
  bench.pass(4_999);
  assert.deepEqual(opens(bench.run()), []);
  bench.pass(1);
  assert.deepEqual(opens(bench.run()), ['polling']);
});

/** The session is up, on a link that has lived long enough to count as proven; it is lost, and the wait is over. */
function loseAfterAMinute(bench: Bench, link: number, windowMs: number): void {
  bench.down(link, welcome(1, false, { windowMs }));
  bench.run();
  bench.sleep(60_000);
  bench.core.handleAlive(bench.now, link);
  bench.ends(link);
  bench.run();
  bench.wait();
}

test('whoever comes back opens one link in a window, until it is where it was', () => {
  const bench = rememberingOfThree();
  loseAfterAMinute(bench, bench.opened()[0], 50_000);
  const begun: [TransportName, number][] = [];
  let poll: number | undefined;
  // Nobody is there at first; then polls get through, and a WebSocket only later.
  for (let n = 0; n < 200_000 && begun.length < 5; n++) {
    for (const { link, transport } of bench.all('open')) {
      begun.push([transport, bench.now]);
      if (transport === 'polling') {
        poll = link;
        bench.down(link, welcome(1, true));
      } else if (begun.length === 1 || transport === 'sse') bench.ends(link);
      else if (begun.length > 3) bench.down(link, welcome(1, true), ping(7), pong);
    }
    bench.sleep(10);
    if (poll !== undefined) bench.core.handleAlive(bench.now, poll);
  }
  assert.deepEqual(begun.map(([transport]) => transport), ['websocket', 'polling', 'websocket', 'sse', 'websocket']);
  const apart = begun.slice(1).map(([, at], n) => at - (begun[n]?.[1] ?? 0));
  assert.ok(apart.every((ms) => ms >= 50_000), apart.join());
  assert.deepEqual(bench.core.state, { name: 'live', transport: 'websocket' });
});

test('a link that breaks while a poll goes out beside it is followed by no race', () => {
  const bench = rememberingOfThree();
  const [socket] = bench.opened();
  bench.down(socket, welcome(1, false, { windowMs: 50_000 }));
  bench.taken();
  // For long enough that nobody blames it.
  for (let n = 0; n < 4; n++) {
    bench.pass(10_000);
    bench.down(socket, ping());
    bench.run();
  }
  bench.pass(16_250);
  assert.deepEqual(opens(bench.run()), ['polling'], 'a heartbeat is late, and no sign comes');
  const poll = bench.link('polling');
  bench.ends(socket);
  assert.deepEqual(opens(bench.run()), [], 'the poll alone');
  bench.pass(1_000);
  bench.down(poll, welcome(1, true));
  bench.taken();
  bench.pass(48_999);
  assert.deepEqual(opens(bench.run()), [], 'in the window');
  bench.pass(1);
  assert.deepEqual(opens(bench.run()), ['websocket'], 'after it');
});

test('while a poll beside a link that broke has no answer nothing else is opened', () => {
  const bench = rememberingOfThree('sse');
  const [stream] = bench.opened();
  bench.down(stream, welcome(1, false));
  bench.taken();
  let hedgedMs = Infinity;
  while (bench.now < hedgedMs + 9_750) {
    if (bench.now === 10_000) bench.down(stream, ping());
    for (const { link, transport } of bench.all('open')) {
      assert.equal(hedgedMs, Infinity, transport);
      // A WebSocket is blocked here, and would be due again.
      bench.ends(transport === 'websocket' ? link : stream);
      if (transport === 'polling') hedgedMs = bench.now;
    }
    bench.pass(250);
  }
});

test('another network is no gateway that crashed, so better transports are probed at once', () => {
  const bench = remembering();
  loseAfterAMinute(bench, bench.opened()[0], 5_000);
  bench.ends(bench.opened()[0]);
  bench.wait();
  bench.down(bench.opened()[0], welcome(1, true));
  assert.deepEqual(opens(bench.run()), []);
  bench.core.handleNetworkChanged(bench.now);
  assert.deepEqual(opens(bench.run()), ['websocket']);
});

test('a link that is cut when it was idle is not blamed', () => {
  for (const [idleMs, leads] of [[5_000, 'websocket'], [4_999, 'polling']] as const) {
    const bench = remembering();
    let [socket] = bench.opened();
    bench.down(socket, welcome(1, false));
    for (let n = 0; n < 10; n++) {
      bench.run();
      bench.pass(1);
      bench.down(socket, ping());
      bench.pass(idleMs);
      bench.ends(socket);
      [socket] = bench.opened();
      assert.equal(bench.open.get(socket), leads, `idle for ${idleMs} ms`);
      if (leads === 'polling') break;
      bench.down(socket, welcome(1, true));
    }
  }
});

/** A client of a poll that comes back by one, with a command that was taken and has no reply. */
function comingBackByAPoll(): [Bench, number] {
  const [bench, old] = Bench.up('polling');
  bench.taken();
  bench.command(send());
  bench.answer(bench.one('post'), ack(1));
  bench.ends(old);
  bench.wait();
  return [bench, bench.opened()[0]];
}

test('whoever comes back by a poll hedges it for no reply, and posts no credentials beside it', () => {
  const [bench, poll] = comingBackByAPoll();
  bench.pass(999);
  assert.deepEqual(bench.run(), []);
  bench.core.authenticate(bench.now, 'fresh');
  assert.deepEqual(bench.run(), []);
  bench.down(poll, welcome(1, true, { received: 1 }));
  const { auth, client } = bench.polled();
  assert.deepEqual([auth, client], ['fresh', undefined], 'the next hello says them');
  bench.pass(750);
  bench.polled();
});

test('a poll by which it comes back is said once more where nothing is heard of it', () => {
  for (const [windowMs, silenceMs] of [[0, 1_000], [5_000, 5_000]] as const) {
    const [bench, old] = Bench.up('polling');
    bench.taken();
    bench.run();
    bench.down(old, { type: 'ping', windowMs }, { type: 'retry', delayMs: 0, spreadMs: 0, reason: 'drain', slot: 'here' });
    const [link, first] = bench.opened();
    assert.equal(first.slot, 'here');
    bench.pass(silenceMs - 1);
    assert.deepEqual(bench.run(), []);
    bench.pass(1);
    const { message, isBare } = bench.one('poll');
    assert.deepEqual(message, [{ ...first, attach: (first.attach ?? 0) + 1 }], 'with its appointment');
    assert.ok(isBare, 'and on another connection');
    bench.pass(9_999);
    assert.deepEqual(bench.run(), [], 'once');
    bench.down(link, welcome(1, true));
    assert.equal(bench.polled().slot, undefined, 'and it is there');
  }
});

test('a poll by which a page comes back that was put aside is said once more too', () => {
  const [bench] = Bench.up('polling');
  bench.core.handleFrozen(bench.now);
  bench.core.handleNetworkChanged(bench.now);
  bench.opened();
  bench.pass(1_000);
  bench.polled();
  bench.pass(9_999);
  assert.deepEqual(bench.run(), []);
});

test('a poll that opens a session is said once', () => {
  const bench = new Bench(['polling']);
  bench.opened();
  bench.pass(9_999);
  assert.deepEqual(bench.run(), []);
});

test('until a link has shown that it is followed each of its polls asks for a welcome', () => {
  const [bench] = comingBackByAPoll();
  bench.core.handleNetworkChanged(bench.now);
  const { client, resume } = bench.polled();
  assert.ok(client && resume);
});

test('a link that is silent on another network is hedged without a window, and with one once it has shown that it lives', () => {
  for (const lives of [false, true]) {
    const bench = rememberingOfThree();
    const [socket] = bench.opened();
    bench.down(socket, welcome(1, false, { windowMs: 50_000 }));
    bench.taken();
    bench.run();
    bench.core.handleNetworkChanged(bench.now);
    if (lives) bench.down(socket, pong);
    bench.pass(lives ? 16_250 : 500);
    assert.deepEqual(opens(bench.run()), ['polling']);
    bench.pass(125);
    assert.equal(bench.all('poll').length, lives ? 0 : 1, 'and said again');
    bench.down(bench.link('polling'), welcome(1, true));
    assert.deepEqual(opens(bench.run()), lives ? [] : ['sse']);
  }
});
