/** The window in which a client comes back: its place in it, and one link in each. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Output } from '../../../src/core/output.js';
import type { TransportName } from '../../../src/protocol.js';
import { ack, Bench, ping, pong, send, WALL_MS, welcome } from './bench.js';

/** A client of a gateway with which a WebSocket was proven before. */
const remembering = (): Bench =>
  new Bench(['websocket', 'polling'], { negotiates: true, verdict: { transport: 'websocket', atMs: WALL_MS - 1_000_000 } });

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
  const bench = new Bench(['websocket', 'sse', 'polling'], { negotiates: true, verdict: { transport: 'websocket', atMs: WALL_MS - 1_000_000 } });
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
  const bench = remembering();
  const [socket] = bench.opened();
  bench.down(socket, welcome(1, false, { windowMs: 50_000 }));
  bench.taken();
  bench.pass(16_000);
  bench.run();
  bench.pass(1_000);
  assert.deepEqual(opens(bench.run()), ['polling'], 'a heartbeat is late, and no sign comes');
  bench.ends(socket);
  bench.pass(1_000);
  assert.deepEqual(opens(bench.run()), [], 'the poll alone');
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
  bench.pass(9_000);
  assert.deepEqual(bench.run(), []);
  bench.core.authenticate(bench.now, 'fresh');
  assert.deepEqual(bench.run(), []);
  bench.down(poll, welcome(1, true, { received: 1 }));
  const { auth, client } = bench.polled();
  assert.deepEqual([auth, client], ['fresh', undefined], 'the next hello says them');
  bench.pass(750);
  bench.polled();
});

test('until a link has shown that it is followed each of its polls asks for a welcome', () => {
  const [bench] = comingBackByAPoll();
  bench.core.handleNetworkChanged(bench.now);
  const { client, resume } = bench.polled();
  assert.ok(client && resume);
});
