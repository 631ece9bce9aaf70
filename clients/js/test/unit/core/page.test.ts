/** What becomes of the page: hidden, offline, put aside, asleep. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defaultTiming } from '../../../src/core/timing.js';
import { ack, Bench, closed, cut, event, items, ping, pong, reply, retry, send, subscribed, welcome } from './bench.js';

/** A session on a poll that is held, on a page with nothing better to probe. */
function polling(): [Bench, number] {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  bench.run();
  return [bench, link];
}

test('a hidden page does not hold its poll: it asks for an answer, and again after a while', () => {
  const [bench, link] = polling();
  bench.core.handleHidden(bench.now, true);
  const first = bench.one('poll');
  assert.deepEqual(first.message.at(-1), { type: 'ping' }, 'the held one gives its connection back');
  bench.down(link, pong, ack(0));
  assert.deepEqual(bench.run(), []);
  bench.pass(defaultTiming.hiddenPollMs - 1);
  assert.deepEqual(bench.run(), []);
  bench.pass(1);
  const second = bench.one('poll');
  assert.deepEqual([second.attach, second.message.at(-1)], [first.attach + 1, { type: 'ping' }]);
});

test('where there was something for a hidden page there may be more', () => {
  const [bench, link] = polling();
  bench.core.handleHidden(bench.now, true);
  bench.run();
  bench.down(link, items(1, subscribed('a', 0), event('a', 1)), pong);
  bench.taken();
  assert.equal(bench.polled().resume?.after, 2, 'and it is acknowledged');
  bench.down(link, pong);
  assert.deepEqual(bench.run(), []);
});

test('a hidden page that waits for a reply asks for it, not in a rush', () => {
  const [bench, link] = polling();
  bench.core.handleHidden(bench.now, true);
  bench.run();
  bench.down(link, pong);
  const ticket = bench.command(send());
  let polls = 0;
  for (let passed = 0; passed < 4_000; passed += 10) {
    for (const output of bench.run()) {
      if (output.do === 'post') bench.answer(output, ack(1));
      if (output.do === 'poll') {
        polls++;
        bench.down(link, ...(bench.now < 3_000 ? [pong] : [items(1, reply(1)), pong]));
      }
    }
    bench.pass(10);
  }
  assert.equal(bench.outcome(ticket)?.kind, 'accepted');
  assert.ok(polls > 3 && polls < 12, `${polls}`);
});

test('a session that opens hidden is polled a second time at once, for it is provisional until then', () => {
  const bench = new Bench(['polling']);
  bench.core.handleHidden(0, true);
  const [link] = bench.opened();
  bench.down(link, welcome(1, false));
  bench.taken();
  bench.polled();
});

test('a page that is seen again holds its poll at once', () => {
  const [bench, link] = polling();
  bench.core.handleHidden(bench.now, true);
  bench.run();
  bench.down(link, pong);
  bench.run();
  bench.pass(1_000);
  bench.core.handleHidden(bench.now, false);
  const poll = bench.one('poll');
  assert.ok(poll.message.every(({ type }) => type !== 'ping'));
});

test('nothing breaks where timers are throttled to once a minute', () => {
  const [bench, link] = polling();
  bench.core.handleHidden(bench.now, true);
  for (let minute = 0; minute < 10; minute++) {
    const poll = bench.one('poll');
    bench.down(link, pong);
    assert.deepEqual(bench.run(), [], `minute ${minute}`);
    assert.equal(poll.link, link);
    bench.sleep(60_000);
  }
  assert.deepEqual(
    bench.core.history.map(({ outcome }) => outcome),
    ['proven'],
    'nobody is blamed',
  );
});

test('a page that slept asks its link for a sign, and blames nobody before that is late', () => {
  const [bench, link] = Bench.up('websocket');
  bench.run();
  bench.sleep(3_600_000);
  assert.deepEqual(bench.said(), [{ type: 'ping' }]);
  assert.equal(bench.core.active, link);
  bench.pass(499);
  assert.equal(bench.core.active, link);
  bench.pass(1);
  assert.equal(bench.core.active, undefined, 'now it had its time');

  const [lively, living] = Bench.up('websocket');
  lively.run();
  lively.sleep(3_600_000);
  lively.down(living, ping());
  assert.deepEqual(lively.said(), [{ type: 'pong' }], 'what came by itself is a sign');
});

test('a link that gives no sign until a throttled page is woken once more is lost', () => {
  for (const signs of [true, false]) {
    const [bench, link] = Bench.up('websocket');
    bench.run();
    bench.sleep(60_000);
    assert.deepEqual(bench.said(), [{ type: 'ping' }]);
    if (signs) bench.down(link, pong);
    bench.run();
    bench.sleep(60_000);
    bench.run();
    assert.equal(bench.core.active === link, signs);
  }
  const [hidden, poll] = polling();
  hidden.core.handleHidden(hidden.now, true);
  for (let minute = 0; minute < 4; minute++) {
    hidden.run();
    hidden.sleep(60_000);
  }
  hidden.run();
  assert.ok(!hidden.open.has(poll), 'so is a poll that nobody answers');
});

test('a page that slept gives an opening its time, and takes a probe for nothing', () => {
  const bench = new Bench(['websocket']);
  bench.hangs = true;
  bench.run();
  bench.sleep(60_000);
  bench.run();
  assert.equal(bench.open.size, 1);
  assert.equal(bench.core.state.name, 'connecting');

  const probing = new Bench(['websocket', 'polling'], { negotiates: true });
  probing.run();
  const [poll, socket] = [probing.link('polling'), probing.link('websocket')];
  probing.down(poll, welcome(1, false));
  probing.taken();
  probing.run();
  probing.sleep(60_000);
  probing.run();
  assert.ok(!probing.open.has(socket));
  assert.deepEqual(
    probing.core.history.map(({ transport, outcome }) => [transport, outcome]),
    [
      ['polling', 'proven'],
      ['websocket', 'late'],
    ],
  );
  assert.ok(probing.link('websocket') !== socket, 'it is tried anew, at once');
});

test('offline stops attempts, and online begins them', () => {
  const [bench, link] = Bench.up('websocket');
  bench.core.handleOffline(bench.now);
  bench.run();
  assert.deepEqual([bench.core.active, bench.core.state.name], [link, 'live'], 'what stands may yet live');
  bench.ends(link);
  bench.pass(3_600_000);
  assert.deepEqual(bench.all('open'), []);
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'offline', attempt: 2, retryAtMs: undefined });
  bench.core.handleNetworkChanged(bench.now);
  assert.equal(bench.opened()[1].resume?.token, 'token 1');
});

test('a link that stood while it was offline is asked for a sign at once when there is a network', () => {
  const [bench] = Bench.up('websocket');
  bench.core.handleOffline(bench.now);
  bench.run();
  bench.pass(5_000);
  bench.core.handleNetworkChanged(bench.now);
  assert.deepEqual(bench.said(), [{ type: 'ping' }]);
});

test('what is being opened when the network goes is no failure', () => {
  const bench = new Bench(['websocket', 'polling'], { negotiates: true });
  bench.run();
  assert.equal(bench.open.size, 2);
  bench.core.handleOffline(bench.now);
  bench.run();
  assert.equal(bench.open.size, 0);
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'offline', attempt: 1, retryAtMs: undefined });
  assert.deepEqual(bench.core.history, []);
  bench.core.handleNetworkChanged(bench.now);
  bench.run();
  assert.ok(bench.open.size > 0);
});

test('another network cuts a wait short, never below what the gateway said', () => {
  const [bench, link] = Bench.up('websocket', { random: () => 0.999 });
  bench.down(link, { type: 'ping', windowMs: 100 });
  bench.ends(link);
  for (let n = 0; n < 2; n++) {
    bench.wait();
    bench.ends(bench.opened()[0]);
  }
  const { state } = bench.core;
  assert.ok(state.name === 'waiting' && state.retryAtMs! - bench.now > 900);
  bench.core.handleNetworkChanged(bench.now);
  const { state: cutShort } = bench.core;
  assert.ok(cutShort.name === 'waiting' && cutShort.retryAtMs! - bench.now <= 100);

  const [advised, told] = Bench.up('websocket');
  advised.down(told, retry('overload', 30_000));
  advised.core.handleNetworkChanged(advised.now);
  advised.core.handleOffline(advised.now);
  advised.core.handleNetworkChanged(advised.now);
  advised.pass(29_999);
  assert.deepEqual(advised.all('open'), []);
  advised.pass(1);
  advised.opened();
});

test('a page that is put aside leaves its links and keeps its session', () => {
  const [bench, link] = Bench.up('websocket');
  bench.command(send());
  bench.run();
  bench.core.handleFrozen(bench.now);
  assert.ok(bench.all('close').some((close) => close.link === link && !close.inPeace));
  assert.deepEqual(bench.core.state, { name: 'waiting', reason: 'frozen', attempt: 1, retryAtMs: undefined });
  assert.ok(bench.core.saved);
  bench.ends(link, cut);
  bench.pass(60_000);
  assert.deepEqual(bench.all('open'), []);
  bench.core.handleNetworkChanged(bench.now);
  assert.equal(bench.opened()[1].resume?.low, 1);
});

test('a page that was put aside while it was told to wait waits as long', () => {
  const [bench, link] = Bench.up('websocket');
  bench.down(link, retry('overload', 30_000));
  bench.ends(link, closed(4001));
  bench.core.handleFrozen(bench.now);
  bench.core.handleNetworkChanged(bench.now);
  assert.deepEqual(bench.all('open'), []);
  bench.pass(30_000);
  bench.opened();
});
