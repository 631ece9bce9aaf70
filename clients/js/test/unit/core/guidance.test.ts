/** What the gateway says of when and where to come, and what a slow or a rebuilt session makes of links beside it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Output } from '../../../src/core/output.js';
import { defaultTiming } from '../../../src/core/timing.js';
import type { TransportName } from '../../../src/protocol.js';
import { ack, Bench, commands, items, ping, pong, retry, send, subscribe, subscribed, WALL_MS, welcome } from './bench.js';

/** A client of a gateway with which a WebSocket was proven before. */
const remembering = (): Bench =>
  new Bench(['websocket', 'polling'], { negotiates: true, verdict: { transport: 'websocket', atMs: WALL_MS - 1_000_000 } });

const opens = (outputs: readonly Output[]): TransportName[] => outputs.flatMap((output) => (output.do === 'open' ? [output.transport] : []));

/** A session on a poll, with a WebSocket beside it that has said hello. */
function pollingBesideAProbe(): [Bench, number, number] {
  const bench = new Bench(['websocket', 'polling'], { negotiates: true });
  bench.run();
  const [poll, socket] = [bench.link('polling'), bench.link('websocket')];
  bench.down(poll, welcome(1, false));
  bench.taken();
  assert.ok(bench.all('transmit').some(({ link }) => link === socket), 'greeted');
  return [bench, poll, socket];
}

/** A session that has moved to a WebSocket. */
function onWebSocket(options: { auth?: string } = {}, known: { user?: string } = {}): [Bench, number] {
  const bench = new Bench(['webtransport', 'websocket', 'sse', 'polling'], { negotiates: true, ...options });
  bench.run();
  const [poll, socket] = [bench.link('polling'), bench.link('websocket')];
  bench.down(poll, welcome(1, false, known));
  bench.taken();
  bench.run();
  bench.down(socket, welcome(1, true), ping(7));
  bench.run();
  bench.down(socket, pong);
  bench.run();
  assert.equal(bench.core.active, socket);
  return [bench, socket];
}

test('a first start polls at once with its subscriptions, and races beside it', () => {
  const bench = new Bench(['webtransport', 'websocket', 'sse', 'polling'], { negotiates: true });
  bench.command(subscribe('news', { from: { last: 1 } }));
  bench.command(subscribe('more'));
  bench.command(send());
  const outputs = bench.run();
  // WebTransport needs an offer, and an event stream the token.
  assert.deepEqual(opens(outputs), ['polling', 'websocket']);
  const message = outputs.find((output) => output.do === 'poll')?.message ?? [];
  assert.deepEqual(
    message.map(({ type }) => type),
    ['hello', 'commands'],
  );
  assert.deepEqual(commands(message)?.items, [subscribe('news', { from: { last: 1 } }), subscribe('more')], 'C5: all but the send');
  // The handshake of the WebSocket is done, and it keeps still until there is a session.
  const [link, socket] = [bench.link('polling'), bench.link('websocket')];
  assert.ok(!outputs.some((output) => output.do === 'transmit'));
  bench.down(link, welcome(1, false, { received: 2 }), items(1, subscribed('news', 0, 1)));
  bench.taken();
  const next = bench.run();
  const said = next.find((output) => output.do === 'transmit' && output.link === socket);
  assert.ok(said?.do === 'transmit' && said.message[0]?.type === 'hello');
  assert.deepEqual([said.message[0].attach, said.message[0].resume?.token], [undefined, 'token 1'], 'a probe');
  const post = next.find((output) => output.do === 'post');
  assert.equal(commands(post?.message ?? [])?.first, 3, 'only the send is left to say');

  bench.down(socket, welcome(1, true), ping(7));
  bench.run();
  bench.down(socket, pong);
  assert.deepEqual(bench.core.state, { name: 'live', transport: 'websocket' });
  assert.equal(bench.core.why, 'it is proven, and preferred to polling');
  const remembered = bench.all('remember')[0]?.verdict;
  assert.deepEqual([remembered?.transport, remembered?.atMs], ['websocket', WALL_MS]);
  assert.deepEqual([...bench.open.values()], ['websocket'], 'the poll is left');
});

test('a probe that swallows what comes down never displaces the link that works', () => {
  for (const swallowed of ['websocket', 'webtransport'] as const) {
    const bench = new Bench([swallowed, 'polling'], { negotiates: true, isSecure: true });
    bench.run();
    const [poll, probe] = [bench.link('polling'), bench.link(swallowed)];
    bench.down(poll, welcome(1, false));
    bench.taken();
    for (let n = 0; n < 40; n++) {
      bench.pass(250);
      assert.equal(bench.core.active, poll, swallowed);
    }
    bench.run();
    assert.ok(!bench.open.has(probe), 'its patience is over');
  }
});

test('what is remembered goes first, and a poll joins it when it stays silent', () => {
  const bench = remembering();
  const [socket, hello] = bench.opened();
  assert.deepEqual([bench.open.get(socket), hello.attach], ['websocket', 1]);
  bench.pass(250);
  assert.deepEqual(opens(bench.run()), ['polling']);
  // Both may be welcomed: to two sessions, of which only the first is followed.
  const poll = bench.link('polling');
  bench.down(socket, welcome(1, false));
  bench.run();
  assert.ok(!bench.open.has(poll), 'its session is left to die');
  assert.equal(bench.core.session, 'session 1');

  const failing = remembering();
  failing.ends(failing.opened()[0]);
  assert.deepEqual(opens(failing.run()), ['polling'], 'at once where it fails');
});

test('a link that is late is hedged, and kept until the poll is answered', () => {
  const [bench, socket] = onWebSocket();
  bench.command(send());
  bench.run();
  bench.pass(750);
  assert.deepEqual(bench.said(), [{ type: 'ping' }]);
  bench.pass(750);
  assert.deepEqual(opens(bench.run()), ['polling']);
  const poll = bench.link('polling');
  assert.ok(bench.open.has(socket), 'kept');
  bench.down(socket, items(1, subscribed('a', 0)));
  assert.equal(bench.heard('subscribed').length, 1, 'and still listened to');
  bench.down(poll, welcome(1, true, { next: 2, received: 1 }));
  bench.taken();
  bench.run();
  assert.deepEqual([bench.core.active, bench.open.has(socket)], [poll, false]);
  assert.equal(bench.core.why, 'websocket fell silent');
  // It is tried again, but not at once.
  bench.pass(3_000);
  assert.deepEqual(opens(bench.run()), []);
  bench.pass(2_000);
  assert.deepEqual(opens(bench.run()), ['websocket']);
});

test('a hedge that has no answer is said again, by as many connections as a browser keeps, and then later and later', () => {
  const [bench, socket] = onWebSocket();
  bench.pass(15_750);
  bench.run();
  bench.pass(500);
  const [first, poll] = [bench.polled(), bench.link('polling')];
  assert.ok(first.client, 'a welcome answers it, at once');
  for (const [index, waitMs] of [125, 125, 125, 125, 125, 125, 125, 250, 500].entries()) {
    bench.pass(waitMs - 1);
    assert.deepEqual(bench.run(), []);
    bench.pass(1);
    const again = bench.polled();
    assert.deepEqual([again.attach, again.client], [first.attach! + 1 + index, first.client]);
  }
  bench.down(poll, welcome(1, true));
  bench.run();
  assert.deepEqual([bench.core.active, bench.open.has(socket)], [poll, false]);
});

test('a hedge that is said again goes on other connections, unless the gateway knows its user by a cookie', () => {
  const ways = (...known: Parameters<typeof onWebSocket>) => {
    const [bench] = onWebSocket(...known);
    bench.pass(15_750);
    bench.run();
    const hedges = [500, 125, 125].map((waitMs) => {
      bench.pass(waitMs);
      return bench.one('poll').isBare;
    });
    bench.down(bench.link('polling'), welcome(1, true));
    return [...hedges, bench.one('poll').isBare];
  };
  assert.deepEqual(ways(), [false, true, false, false], 'an anonymous session');
  assert.deepEqual(ways({ auth: 'token' }, { user: 'ann' }), [false, true, false, false], 'credentials in the hello');
  assert.deepEqual(ways({}, { user: 'ann' }), [false, false, false, false], 'a cookie, then');
});

test('what is said again for another reason than silence takes its cookies along', () => {
  const [bench, poll] = Bench.up('polling');
  bench.taken();
  bench.run();
  const isBare = (): boolean => bench.one('poll').isBare;
  bench.core.handleNetworkChanged(bench.now);
  assert.equal(isBare(), false, 'another network');
  bench.core.handleHidden(bench.now, true);
  assert.equal(isBare(), false, 'a page that is hidden');
  bench.core.handleHidden(bench.now, false);
  bench.down(poll, pong);
  bench.command(send());
  bench.answer(bench.one('post'), ack(1));
  bench.pass(750);
  assert.equal(isBare(), false, 'a reply that takes its time');
});

test('what is refused for good without cookies is a lost link, and they go along from then on', () => {
  const refusals: ((bench: Bench, poll: number) => void)[] = [
    (bench, poll) => bench.down(poll, { type: 'error', code: 'unauthorized', message: '', fatal: true }, retry('unauthorized', 0, true)),
    (bench, poll) => bench.down(poll, retry('forbidden', 0, true)),
    (bench, poll) => bench.down(poll, welcome(2, false, { reason: 'user_mismatch' })),
    (bench, poll) => bench.ends(poll, { kind: 'refused', status: 401 }),
    (bench, poll) => bench.ends(poll, { kind: 'refused', status: 403 }),
  ];
  for (const [index, refuse] of refusals.entries()) {
    const [bench, socket] = onWebSocket({ auth: 'token' }, { user: 'ann' });
    const hedges = (): boolean[] => {
      bench.pass(15_750);
      bench.run();
      return [500, 125].map((waitMs) => {
        bench.pass(waitMs);
        return bench.one('poll').isBare;
      });
    };
    assert.deepEqual(hedges(), [false, true]);
    refuse(bench, bench.link('polling'));
    const [link, { resume }] = bench.opened();
    assert.deepEqual([bench.open.has(socket), resume?.token, bench.heard('lost')], [false, 'token 1', []], `${index}`);
    bench.down(link, welcome(1, true));
    bench.migrate('websocket');
    bench.down(bench.opened()[0], welcome(1, true), ping(8), pong);
    bench.run();
    assert.deepEqual(hedges(), [false, false], `${index}`);
  }
});

test('a hedge that fails too ends both, and the session comes back', () => {
  const [bench, socket] = onWebSocket();
  bench.pass(15_750);
  assert.deepEqual(bench.said(), [{ type: 'ping' }], 'a heartbeat is late');
  bench.pass(750);
  bench.run();
  bench.ends(bench.link('polling'));
  bench.run();
  assert.ok(!bench.open.has(socket), 'once is enough');
  assert.equal(bench.core.state.name, 'recovering');
});

test('one link comes back, and a poll joins it after a second of silence', () => {
  const [bench, first] = onWebSocket();
  for (let n = 0; n < 6; n++) {
    bench.pass(10_000);
    bench.down(first, ping());
  }
  bench.run();
  bench.ends(first);
  assert.deepEqual(opens(bench.run()), ['websocket']);
  bench.pass(999);
  assert.deepEqual(opens(bench.run()), []);
  bench.pass(1);
  assert.deepEqual(opens(bench.run()), ['polling']);
  const [socket, poll] = [bench.link('websocket'), bench.link('polling')];
  // The welcome of the lead is followed, and the poll, which is on its way to take over, is waited for.
  bench.down(socket, welcome(1, true));
  assert.equal(bench.core.active, socket);
  bench.down(poll, welcome(1, true));
  bench.taken();
  bench.run();
  assert.equal(bench.core.active, poll);
});

test('the gateway asks for a move, which is made when it said, and is the reason that is told', () => {
  const bench = new Bench(['websocket', 'sse', 'polling'], { negotiates: true, random: () => 0.5 });
  bench.run();
  const [poll, socket] = [bench.link('polling'), bench.link('websocket')];
  bench.down(poll, welcome(1, false));
  bench.taken();
  bench.run();
  bench.down(socket, welcome(1, true), ping(7));
  bench.run();
  bench.down(socket, pong, { type: 'migrate', transports: [{ name: 'sse' }], delayMs: 1_000, spreadMs: 1_000 });
  bench.pass(1_499);
  assert.deepEqual(bench.all('open'), []);
  assert.equal(bench.core.active, socket);
  bench.pass(1);
  bench.run();
  const stream = bench.link('sse');
  bench.down(stream, welcome(1, true), ping(8));
  bench.run();
  bench.down(stream, pong);
  assert.deepEqual([bench.core.active, bench.core.why], [stream, 'the gateway asked for it']);
});

test('of two moves that are asked for the later wins', () => {
  const [bench] = Bench.up('websocket');
  const first = bench.migrate('sse');
  const second = bench.migrate('polling');
  assert.deepEqual(bench.outcome(first), { kind: 'stayed', reason: 'another move was asked for' });
  assert.equal(bench.outcome(second), undefined);
  assert.deepEqual(bench.outcome(bench.migrate('webtransport')), { kind: 'stayed', reason: 'it is none of the transports of this client' });
  bench.down(bench.link('polling'), welcome(1, true));
  assert.deepEqual(bench.outcome(second), { kind: 'migrated' });
});

test('advice counts also where another link was tried beside the one that it came on', () => {
  const bench = remembering();
  bench.run();
  bench.pass(250);
  bench.run();
  const [socket, poll] = [bench.link('websocket'), bench.link('polling')];
  bench.down(poll, retry('overload', 30_000));
  bench.run();
  assert.ok(bench.open.has(socket), 'it may still do');
  bench.pass(1_000);
  bench.ends(socket);
  bench.core.handleNetworkChanged(bench.now);
  assert.deepEqual(opens(bench.run()), []);
  bench.pass(28_999);
  assert.deepEqual(opens(bench.run()), [], 'not before the gateway said');
  bench.pass(1);
  assert.equal(opens(bench.run()).length, 1);
});

test('of two appointments the later counts', () => {
  for (const firstMs of [30_000, 5_000]) {
    const bench = remembering();
    bench.run();
    bench.pass(250);
    bench.run();
    const [socket, poll] = [bench.link('websocket'), bench.link('polling')];
    bench.down(poll, retry('overload', firstMs));
    bench.down(socket, retry('overload', 35_000 - firstMs));
    bench.run();
    bench.pass(29_999);
    assert.deepEqual(opens(bench.run()), [], `${firstMs} first`);
    bench.pass(1);
    assert.equal(opens(bench.run()).length, 1, `${firstMs} first`);
  }
});

test('a probe that is sent away waits as long as it was told, and is remembered all the same', () => {
  const bench = remembering();
  bench.run();
  bench.pass(250);
  bench.run();
  const poll = bench.link('polling');
  bench.down(poll, welcome(1, false));
  bench.taken();
  const outputs = bench.run();
  const probe = bench.link('websocket');
  bench.down(probe, retry('overload', 60_000));
  for (let n = 0; n < 6; n++) {
    outputs.push(...bench.run());
    assert.ok(![...bench.open.values()].includes('websocket'), `at ${bench.now}`);
    bench.pass(10_000);
    bench.down(poll, ack(0));
  }
  assert.deepEqual(opens(bench.run()), ['websocket']);
  assert.ok(!outputs.some((output) => output.do === 'remember' && !output.verdict), 'it has not failed');
});

test('the first poll of a link is never held, so it is not believed for long', () => {
  const [bench, poll, socket] = pollingBesideAProbe();
  bench.ends(socket);
  bench.ends(poll);
  bench.wait();
  const [again] = bench.opened();
  bench.pass(defaultTiming.joinBackMs + defaultTiming.welcomeMs);
  bench.run();
  assert.ok(!bench.open.has(again), 'something else is tried');
});

test('an answer that comes in pieces is waited for', () => {
  const [bench, poll] = Bench.up('polling');
  bench.taken();
  bench.command(send());
  const attach = bench.polled().attach;
  // For longer than a poll is held.
  for (let n = 0; n < 60; n++) {
    bench.pass(700);
    bench.core.handleAlive(bench.now, poll);
    assert.deepEqual(bench.all('poll'), [], `at ${bench.now}`);
  }
  bench.down(poll, items(1, subscribed('a', 0)));
  bench.taken();
  assert.equal(bench.polled().attach, (attach ?? 0) + 1);
});

test('N4: a probe of the incarnation before never carries the session', () => {
  const [bench, poll, socket] = pollingBesideAProbe();
  bench.down(socket, welcome(1, true));
  bench.run();
  bench.down(poll, welcome(1, true, { incarnation: 2 }));
  bench.taken();
  bench.run();
  // It was on its way.
  bench.down(socket, ping(7));
  assert.ok(!bench.said().some(({ type }) => type === 'attach'));
  assert.equal(bench.core.active, poll);
  assert.notEqual(bench.link('websocket'), socket, 'and is tried anew');
});

test('what opened a session and was more than the gateway keeps is said again', () => {
  const bench = new Bench(['websocket']);
  const names = Array.from({ length: 30 }, (_, n) => `c${n + 1}`);
  for (const name of names) bench.command(subscribe(name));
  const [socket, opening] = bench.opening();
  assert.equal(commands(opening)?.items.length, 30);
  const limits = { messageBytes: 65_536, commandsAhead: 10, unacknowledgedItems: 1_024, unacknowledgedBytes: 262_144, subscriptions: 256, commandsPerSecond: 0 };
  bench.down(socket, welcome(1, false, { limits, received: 10 }));
  bench.down(socket, items(1, ...names.slice(0, 10).map((name, n) => subscribed(name, 0, n + 1))));
  const again = commands(bench.said());
  assert.deepEqual([again?.first, again?.items.length], [11, 10]);
});
