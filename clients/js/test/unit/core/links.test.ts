/** Links: attach numbers, probes, signs of life, goodbyes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { CoreState } from '../../../src/core/output.js';
import { ack, Bench, closed, commands, cut, event, items, ping, pong, position, reply, retry, send, subscribe, subscribed, welcome } from './bench.js';

const stateOf = ({ core }: Bench): CoreState => core.state;

test('L1: every poll attaches with a higher number and states what it has', () => {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  assert.equal(bench.polled().attach, 2);
  bench.down(link, items(1, subscribed('a', 0), event('a', 1)));
  bench.taken();
  const third = bench.polled();
  assert.deepEqual([third.attach, third.resume?.after], [3, 2]);
  assert.equal(third.client, undefined, 'a poll that goes on says nothing twice');
});

test('L8: superseded below the newest attach is ignored', () => {
  const [bench, old] = Bench.up('websocket');
  const ticket = bench.migrate('polling');
  assert.equal(bench.opened()[1].attach, 2);
  bench.down(old, retry('superseded'));
  assert.deepEqual(bench.outcome(ticket), { kind: 'migrated' });
  assert.equal(bench.core.session, 'session 1');
});

test('L8: superseded for the newest attach is final, and a new session takes its place', () => {
  const [bench, old] = Bench.up('websocket');
  bench.down(old, items(1, subscribed('a', 4)));
  bench.down(old, retry('superseded'));
  const [link, opening] = bench.opening();
  assert.ok(opening[0]?.type === 'hello' && !opening[0].resume, 'never again with that token');
  assert.deepEqual(bench.heard('lost'), [{ hear: 'lost', reason: 'superseded', isFinal: false }]);
  const renewal = subscribe('a', { from: { position: position(4) } });
  assert.deepEqual(commands(opening)?.items, [renewal], 'it travels with the hello');
  bench.down(link, welcome(2, false));
  assert.deepEqual(bench.said(), [], 'and is said once');
});

test('L10: a probe displaces nothing until a nonce has come down', () => {
  const [bench, old] = Bench.up('websocket');
  bench.run();
  const ticket = bench.migrate('sse');
  const [probe, hello] = bench.opened();
  assert.deepEqual([hello.attach, hello.resume !== undefined], [undefined, true]);
  bench.down(probe, welcome(1, true));
  bench.command(send());
  assert.ok(commands(bench.said()), 'the old link goes on');
  bench.down(old, items(1, subscribed('a', 0)));
  bench.taken();
  bench.down(probe, ping(7));
  let post = bench.one('post');
  assert.equal(post.link, probe);
  assert.deepEqual(post.message.slice(1, 3), [{ type: 'pong', nonce: 7 }, { type: 'attach', number: 2, after: 1 }]);
  // Not confirmed: said again, with a number of its own.
  bench.loses(post);
  bench.pass(200);
  post = bench.one('post');
  assert.ok(post.message.some((frame) => frame.type === 'attach' && frame.number === 3 && frame.after === 1));
  bench.answer(post, ack(1));
  assert.deepEqual(bench.run(), [], 'confirmed: not said again');
  bench.down(probe, items(2, event('a', 1)));
  assert.deepEqual(bench.outcome(ticket), { kind: 'migrated' });
  assert.ok(bench.all('close').some(({ link }) => link === old));
});

test('L10: a probe that fails leaves the link that works alone', () => {
  const [bench, old] = Bench.up('websocket');
  let ticket = bench.migrate('sse');
  const [probe] = bench.opened();
  bench.ends(probe);
  assert.deepEqual(bench.outcome(ticket), { kind: 'stayed', reason: 'it came to nothing' });
  assert.equal(bench.core.active, old);
  // A poll is an attach by itself: if it comes to nothing, the link before it goes on too.
  ticket = bench.migrate('polling');
  const [poll] = bench.opened();
  assert.equal(bench.core.active, poll);
  bench.ends(poll);
  assert.equal(bench.outcome(ticket)?.kind, 'stayed');
  assert.deepEqual([bench.core.active, bench.core.state.name], [old, 'live']);
});

test('L10: a probe that is welcomed to another session is of no use', () => {
  for (const other of [welcome(2, true), welcome(1, true, { incarnation: 2 }), welcome(1, false)]) {
    const [bench, old] = Bench.up('websocket');
    bench.migrate('sse');
    const [probe] = bench.opened();
    bench.down(probe, other, ping(7));
    assert.equal(bench.core.active, old);
    assert.ok(bench.all('close').some(({ link }) => link === probe));
  }
});

test('L12: a welcome is followed once', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, welcome(2, false, { incarnation: 9 }));
  assert.deepEqual([bench.core.session, bench.core.saved?.known?.incarnation, bench.core.active], ['session 1', 1, link]);
});

test('a stream that falls silent is lost, and a heartbeat keeps it', () => {
  const [bench, link] = Bench.up('sse');
  bench.run();
  bench.pass(15_000);
  bench.down(link, { type: 'ping', windowMs: 5_000 });
  bench.pass(15_000);
  bench.run();
  assert.equal(bench.core.active, link);
  // Late by 750 ms, asked, and given 500 to answer.
  bench.pass(1_249);
  assert.equal(bench.core.active, link);
  bench.pass(1);
  assert.equal(bench.core.active, undefined);
  const { state } = bench.core;
  assert.ok(state.name === 'waiting' && state.retryAtMs! > bench.now && state.retryAtMs! <= bench.now + 5_000, 'within the window');
});

test('on a network that seems slow the round trip is measured again with each heartbeat', () => {
  const [bench, link] = Bench.up('websocket');
  bench.command(send());
  bench.run();
  bench.pass(750);
  bench.said();
  bench.pass(490);
  bench.down(link, pong);
  bench.run();
  bench.down(link, ping());
  assert.deepEqual(bench.said(), [{ type: 'pong' }, { type: 'ping' }]);
  bench.down(link, ping());
  assert.deepEqual(bench.said(), [{ type: 'pong' }], 'one question at a time');
  bench.pass(50);
  bench.down(link, pong, ping());
  assert.deepEqual(bench.said(), [{ type: 'pong' }], 'it was the page that was slow');
});

test('a pong is measured from the first ping that it may answer, and on another network not at all', () => {
  const bench = (): [Bench, number] => {
    const [bench, link] = Bench.up('websocket');
    bench.command(send());
    bench.run();
    bench.pass(750);
    assert.deepEqual(bench.said(), [{ type: 'ping' }]);
    bench.pass(400);
    return [bench, link];
  };
  const [slow, link] = bench();
  slow.down(link, items(1));
  slow.pass(1_500);
  assert.deepEqual(slow.said(), [{ type: 'ping' }]);
  slow.pass(100);
  slow.down(link, pong, ping());
  assert.deepEqual(slow.said(), [{ type: 'pong' }, { type: 'ping' }], 'it took two seconds, and not a tenth of one');

  const [moved, other] = bench();
  moved.core.handleNetworkChanged(moved.now);
  assert.deepEqual(moved.said(), [{ type: 'ping' }]);
  moved.pass(90);
  moved.down(other, pong, ping());
  assert.deepEqual(moved.said(), [{ type: 'pong' }], 'who knows');
});

test('a reply that is missing while nothing is heard makes the link doubted', () => {
  const [bench, link] = Bench.up('websocket');
  bench.command(send());
  bench.run();
  bench.pass(749);
  assert.deepEqual(bench.said(), []);
  bench.pass(1);
  assert.deepEqual(bench.said(), [{ type: 'ping' }]);
  bench.down(link, pong);
  // It answers, so it is asked later the next time.
  bench.pass(1_499);
  assert.deepEqual(bench.said(), []);
  bench.pass(1);
  assert.deepEqual(bench.said(), [{ type: 'ping' }]);
  bench.pass(750);
  assert.equal(bench.core.active, undefined);
});

test('a poll that is not answered is given up and its answer ignored', () => {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  const first = bench.polled().attach!;
  // Held for 25 s, and a second of grace.
  bench.pass(25_999);
  assert.deepEqual(bench.run(), []);
  bench.pass(1);
  assert.equal(bench.polled().attach, first + 1);
  bench.core.handleAnswer(bench.now, link, first, [items(1, subscribed('a', 0))]);
  assert.deepEqual(bench.taken(), []);
  bench.pass(30_000);
  bench.run();
  assert.notEqual(bench.core.active, link, 'twice is too often');
});

test('a reply that is late is hedged by another poll, each later than the one before', () => {
  const [bench] = Bench.up('polling');
  bench.taken();
  const first = bench.polled().attach!;
  bench.command(send());
  bench.answer(bench.one('post'), ack(1));
  bench.pass(750);
  assert.equal(bench.polled().attach, first + 1);
  bench.pass(1_499);
  assert.deepEqual(bench.run(), []);
  bench.pass(1);
  assert.equal(bench.polled().attach, first + 2);
});

test('a link whose polls go astray while its posts get through is given up, and one whose reply takes its time is not', () => {
  for (const isHeld of [false, true]) {
    const [bench, link] = Bench.up('polling');
    bench.taken();
    bench.polled();
    bench.command(send());
    bench.answer(bench.one('post'), ack(1));
    for (let parkedMs = 0; bench.now < 300_000; parkedMs += 500) {
      bench.pass(500);
      if (bench.all('poll').some((poll) => poll.link === link)) parkedMs = 0;
      if (!isHeld || parkedMs < 25_000) continue;
      bench.down(link);
      parkedMs = 0;
    }
    assert.equal(bench.core.active === link, isHeld);
  }
});

test('answers that bring nothing at once are not asked for in a rush', () => {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  for (let n = 0; n < 3; n++) {
    bench.polled();
    bench.down(link);
  }
  assert.deepEqual(bench.run(), []);
  bench.pass(100);
  bench.polled();
});

test('a goodbye is said, and all who wait hear of it', () => {
  const [bench, link] = Bench.up('websocket');
  const said = bench.command(send());
  bench.run();
  bench.core.close(bench.now);
  assert.deepEqual(bench.core.state, { name: 'closed', reason: 'closed' });
  assert.equal(bench.core.saved, undefined, 'nothing is left to come back to');
  const late = bench.command(send());
  assert.deepEqual(bench.outcome(late), { kind: 'closed' });
  assert.deepEqual(bench.said(), [{ type: 'bye' }]);
  assert.ok(!bench.core.isClosed);
  bench.ends(link, closed(1000));
  assert.deepEqual(bench.outcome(said), { kind: 'unknown' });
  assert.ok(bench.core.isClosed);
  for (const transport of ['polling', 'sse'] as const) {
    const [bench] = Bench.up(transport);
    bench.taken();
    bench.run();
    bench.core.close(bench.now);
    const frames = bench.run().flatMap((output) => (output.do === 'poll' || output.do === 'post' ? output.message : []));
    assert.equal(frames.at(-1)?.type, 'bye', transport);
    bench.pass(1_000);
    assert.ok(bench.core.isClosed, transport);
  }
});

test('a goodbye is not undone by what still comes', () => {
  // Advice on the link that it was said on.
  const [bench, link] = Bench.up('sse');
  bench.run();
  bench.core.close(bench.now);
  bench.run();
  bench.down(link, retry('overload', 60_000));
  bench.pass(1_000);
  assert.ok(bench.core.isClosed);
  // The first words of a link that was to take over.
  const [other] = Bench.up('polling');
  other.run();
  other.migrate('sse');
  const [newer] = other.opening();
  other.core.close(other.now);
  other.run();
  other.down(newer, welcome(1, true), items(1));
  other.pass(1_000);
  assert.ok(other.core.isClosed);
});

test('a core that is closed takes nothing and says nothing more', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, retry('forbidden', 0, true));
  bench.run();
  assert.equal(bench.core.state.name, 'closed');
  bench.core.handleNetworkChanged(bench.now);
  bench.core.authenticate(bench.now, 'token');
  bench.core.handleFrozen(bench.now);
  bench.core.handleOffline(bench.now);
  assert.equal(bench.core.volatile(bench.now, { channel: 'a', data: 1 }), false);
  assert.deepEqual(bench.outcome(bench.migrate('sse')), { kind: 'stayed', reason: 'the session is closed' });
  assert.deepEqual(bench.run(), []);
  assert.equal(bench.core.deadline(), Infinity);
});

test('people can watch the session come and go', () => {
  const [bench, link] = Bench.up('websocket');
  assert.deepEqual(stateOf(bench), { name: 'live', transport: 'websocket' });
  assert.equal(bench.core.why, 'it was welcomed first');
  bench.pass(1_000);
  bench.ends(link, cut);
  bench.run();
  assert.deepEqual(stateOf(bench), { name: 'recovering', reason: 'cut', attempt: 2 });
  const again = bench.link('websocket');
  bench.ends(again, { kind: 'failed', outcome: 'refused', reason: 'no' });
  bench.run();
  const state = stateOf(bench);
  assert.ok(state.name === 'waiting' && state.reason === 'no' && state.attempt === 3);
  assert.equal(state.retryAtMs, bench.core.deadline());
  assert.deepEqual(
    bench.core.history.map(({ transport, outcome, reason }) => [transport, outcome, reason]),
    [
      ['websocket', 'proven', 'it was welcomed first'],
      ['websocket', 'lost', 'cut'],
      ['websocket', 'refused', 'no'],
    ],
  );
});

test('what was tried is told with what goes up anyway, once the gateway is known to listen', () => {
  const [bench, link] = Bench.up('websocket');
  bench.pass(1_000);
  bench.run();
  bench.ends(link);
  const [again, opening] = bench.opening();
  assert.equal(opening.length, 1, 'never in an opening message');
  bench.pass(5);
  bench.down(again, welcome(1, true), items(1, reply(1)));
  const told = bench.all('transmit').flatMap(({ message }) => message.filter((frame) => frame.type === 'tried'));
  assert.deepEqual(
    told.map(({ outcome, tookMs, agoMs }) => [outcome, tookMs, agoMs]),
    [
      ['lost', 1_000, 5],
      ['proven', 5, 0],
    ],
  );
});
