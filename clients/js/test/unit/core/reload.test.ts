/** A page that is loaded again: the session of the page before goes on, its channels begin anew. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { CoreOptions } from '../../../src/core/core.js';
import type { Command } from '../../../src/protocol.js';
import { ack, Bench, closed, commands, event, items, position, reply, retry, send, subscribe, subscribed, WALL_MS, welcome } from './bench.js';

/** The page that is loaded after this one, a second later. */
const reload = (bench: Bench, options: Partial<CoreOptions> = {}): Bench =>
  new Bench(['polling', 'websocket'], { saved: bench.saved(), wall: () => WALL_MS + bench.now + 1_000, ...options });

test('a reload states the session without a channel, and attaches well above the page before', () => {
  const [before, link] = Bench.up('websocket');
  assert.equal(before.saved().attach, 1);
  before.down(link, items(1, subscribed('a', 4), event('a', 5)));
  before.command(send());
  const page = reload(before);
  page.command(subscribe('a', { from: { last: 5 } }));
  const [poll, message] = page.opening();
  assert.ok(message.length === 1 && message[0]?.type === 'hello');
  assert.equal(message[0].attach, 1_000_002);
  assert.deepEqual(message[0].resume, { token: 'token 1', incarnation: 1, after: 2, low: 1, positions: {} });
  page.down(poll, welcome(1, true, { incarnation: 2, next: 3, received: 0 }));
  assert.deepEqual(page.heard('up'), [{ hear: 'up', session: 'session 1', isResumed: true }]);
  const said = commands(page.one('post').message);
  assert.deepEqual([said?.first, said?.items], [1, [send(), subscribe('a', { from: { last: 5 } })]], 'C3: under its number');
});

test('C7: the subscriptions of a page travel with its hello, and are said again where the session was gone', () => {
  for (const [answer, said] of [
    [welcome(1, true, { incarnation: 2 }), undefined],
    [welcome(2, false), [1, [subscribe('a')]]],
  ] as const) {
    const [before] = Bench.up('websocket');
    const page = reload(before, { transports: [{ name: 'websocket', isDuplex: true }] });
    page.command(subscribe('a'));
    const [link, message] = page.opening();
    assert.deepEqual(commands(message), { type: 'commands', first: 1, items: [subscribe('a')] });
    page.down(link, answer);
    const again = commands(page.said());
    assert.deepEqual(again && [again.first, again.items], said);
  }
});

test('C3: commands of the page before are settled under minus their numbers, across as many pages as it takes', () => {
  const [first, link] = Bench.up('websocket');
  for (const n of [1, 2, 3]) first.command(send({ data: n }));
  first.run();
  first.down(link, ack(3), items(1, reply(2)));
  const second = reload(first);
  const third = reload(second);
  const [poll, message] = third.opening();
  assert.ok(message[0]?.type === 'hello' && message[0].attach === 2_000_002 && message[0].resume?.low === 1);
  third.down(poll, welcome(1, true, { incarnation: 2, next: 2 }));
  third.taken();
  const post = third.one('post');
  assert.deepEqual(commands(post.message)?.items, [send({ data: 1 }), { type: 'noop' }, send({ data: 3 })]);
  third.answer(post, ack(3));
  third.down(third.link('polling'), items(2, reply(3), reply(1)));
  assert.equal(third.outcome(-1)?.kind, 'accepted');
  assert.equal(third.outcome(-3)?.kind, 'accepted');
  assert.equal(third.outcome(-2), undefined);
});

test('what is not a send is not repeated by the next page, but its number is', () => {
  const [before] = Bench.up('websocket');
  for (const command of [subscribe('a'), send({ data: 1 }), { type: 'unsubscribe', channel: 'a' }, send({ data: 2 })] satisfies Command[]) {
    before.command(command);
  }
  const { low, commands: kept, said } = before.saved();
  assert.deepEqual([low, kept, said], [2, [send({ data: 1 }), { type: 'noop' }, send({ data: 2 })], 0]);
  before.run();
  assert.equal(before.saved().said, 4);
  const [none] = Bench.up('websocket');
  none.command(subscribe('a'));
  assert.deepEqual([none.saved().low, none.saved().commands], [2, []], 'no number is given twice');
});

test('what has to be kept is there before it is said, and is written again only when it is another', () => {
  const [bench, link] = Bench.up('polling');
  bench.taken();
  bench.command(send());
  const before = bench.core.saved;
  assert.equal(before?.commands.length, 1);
  const post = bench.one('post');
  const said = bench.core.saved;
  assert.ok(before !== said && said?.said === 1, 'it may have been carried out');
  bench.answer(post, ack(1));
  bench.down(link, items(1, subscribed('a', 0), event('a', 1)));
  bench.run();
  assert.equal(bench.core.saved, said, 'polls, items and acknowledgements change nothing of it');
  bench.down(bench.link('polling'), items(3, reply(1)));
  assert.deepEqual([bench.saved().commands, bench.saved().low], [[], 2]);
});

test('C6: where the session is gone, sends that were said are unknown and others are renumbered', () => {
  const [before] = Bench.up('websocket');
  before.command(send({ data: 'said' }));
  before.run();
  before.command(send({ data: 'not said' }));
  const page = reload(before);
  const mine = page.command(send({ data: 'mine' }));
  const [poll] = page.opening();
  page.down(poll, welcome(2, false, { reason: 'session_unknown' }));
  assert.deepEqual(page.outcome(-1), { kind: 'unknown' });
  assert.deepEqual([page.outcome(-2), page.outcome(mine)], [undefined, undefined]);
  const said = commands(page.one('post').message);
  assert.deepEqual([said?.first, said?.items], [1, [send({ data: 'not said' }), send({ data: 'mine' })]]);
  assert.deepEqual(page.heard('lost').length, 1);
});

test('C6: a send with an id of an authenticated user is renumbered too, unless the page was away for long', () => {
  for (const [awayMs, expected] of [
    [100_000, undefined],
    [300_000, 'unknown'],
  ] as const) {
    const before = new Bench(['websocket']);
    before.down(before.opened()[0], welcome(1, false, { user: 'ann' }));
    before.command(send({ id: 'x' }));
    before.run();
    const page = reload(before, { wall: () => WALL_MS + awayMs });
    assert.equal(page.core.user, 'ann');
    page.down(page.opened()[0], welcome(2, false, { user: 'ann' }));
    assert.equal(page.outcome(-1)?.kind, expected);
  }
});

test('C6: the age of an id counts from when the oldest send was first said, whatever was kept since', () => {
  const before = new Bench(['websocket']);
  before.down(before.opened()[0], welcome(1, false, { user: 'ann' }));
  before.command(send({ id: 'x' }));
  before.run();
  before.now = 235_000;
  before.command(send({ id: 'y' }));
  const page = reload(before, { wall: () => WALL_MS + 245_000 });
  page.down(page.opened()[0], welcome(2, false, { user: 'ann' }));
  assert.equal(page.outcome(-1)?.kind, 'unknown');
});

test('C6: a send with an id is not repeated after a sleep in which the gateway has forgotten that', () => {
  for (const [sleptMs, expected] of [
    [100_000, undefined],
    [3_600_000, 'unknown'],
  ] as const) {
    const bench = new Bench(['websocket']);
    const [link] = bench.opened();
    bench.down(link, welcome(1, false, { user: 'ann' }));
    const ticket = bench.command(send({ id: 'x' }));
    bench.run();
    bench.sleptMs = sleptMs;
    bench.ends(link);
    bench.wait();
    bench.down(bench.opened()[0], welcome(2, false, { user: 'ann' }));
    assert.equal(bench.outcome(ticket)?.kind, expected);
  }
});

test('L8: a page whose token another holds opens a session of its own', () => {
  const [before] = Bench.up('websocket');
  before.command(send());
  before.run();
  const page = reload(before);
  page.command(subscribe('a'));
  const [poll] = page.opening();
  page.down(poll, retry('superseded'));
  const [, message] = page.opening();
  assert.ok(message[0]?.type === 'hello' && !message[0].resume);
  assert.deepEqual(commands(message)?.items, [subscribe('a')]);
  assert.deepEqual(page.outcome(-1), { kind: 'unknown' });
  assert.deepEqual(page.heard('lost'), [{ hear: 'lost', reason: 'superseded', isFinal: false }]);
});

test('a session that ended while no page was there is opened anew', () => {
  const [before] = Bench.up('websocket');
  const page = reload(before, { transports: [{ name: 'websocket', isDuplex: true }] });
  const [link] = page.opened();
  page.ends(link, closed(4100));
  page.wait();
  assert.equal(page.opened()[1].resume, undefined);
});

test('what was not said before there was a session is said by the next page, and by the one after it', () => {
  const first = new Bench(['polling', 'websocket']);
  assert.equal(first.core.saved, undefined, 'nothing is worth keeping');
  first.command(subscribe('a'));
  assert.equal(first.core.saved, undefined, 'channels are for the next page to say');
  first.command(send({ data: 1 }));
  first.run();
  const second = reload(first);
  second.run();
  const third = reload(second);
  const mine = third.command(send({ data: 2 }));
  const [poll, message] = third.opening();
  assert.ok(message[0]?.type === 'hello' && !message[0].resume);
  assert.ok(!commands(message)?.items.some(({ type }) => type === 'send'), 'C5');
  third.down(poll, welcome(1, false));
  const post = third.one('post');
  const said = commands(post.message);
  assert.deepEqual(said?.items, [{ type: 'noop' }, send({ data: 1 }), send({ data: 2 })].slice((said?.first ?? 1) - 1));
  third.answer(post, ack(3));
  third.down(third.link('polling'), items(1, reply(2), reply(3)));
  assert.deepEqual([third.outcome(-2)?.kind, third.outcome(mine)?.kind], ['accepted', 'accepted']);
  assert.deepEqual([third.saved().low, third.saved().commands], [4, []]);
});

test('between two sessions what was not said is kept, and what was said is unknown to the next page', () => {
  const before = new Bench(['websocket']);
  const [link] = before.opened();
  before.down(link, welcome(1, false, { user: 'ann' }));
  const unsure = before.command(send({ data: 'said' }));
  before.command(send({ data: 'said, with an id', id: 'x' }));
  before.run();
  before.command(send({ data: 'not said' }));
  before.ends(link, closed(4100));
  assert.deepEqual(before.outcome(unsure), { kind: 'unknown' });
  const page = reload(before);
  assert.deepEqual(page.outcome(-1), { kind: 'unknown' });
  const [poll] = page.opening();
  page.down(poll, welcome(2, false));
  const said = commands(page.one('post').message);
  assert.deepEqual(said?.items.filter(({ type }) => type !== 'noop'), [send({ data: 'not said' })]);
});

test('no more than 128 KiB of sends are kept, and of those that are not the outcome is unknown', () => {
  const [before] = Bench.up('websocket');
  for (let n = 1; n <= 4; n++) before.command(send({ data: 'x'.repeat(40_000) }));
  before.command(send({ data: 'small' }));
  const saved = before.saved();
  assert.deepEqual(saved.unkept, [4]);
  assert.deepEqual(
    saved.commands.map(({ type }) => type),
    ['send', 'send', 'send', 'noop', 'send'],
  );
  assert.ok(JSON.stringify(saved.commands).length <= 131_072);
  const page = reload(before);
  assert.deepEqual(page.outcome(-4), { kind: 'unknown' });
  assert.equal(page.outcome(-5), undefined);
});

test('a page that is here for the first time with a session to go on races as on a first start', () => {
  const [before] = Bench.up('websocket');
  const transports = (['websocket', 'polling'] as const).map((name) => ({ name, isDuplex: name === 'websocket' }));
  const page = reload(before, { negotiates: true, transports });
  page.run();
  assert.deepEqual([...page.open.values()].sort(), ['polling', 'websocket']);
  page.down(page.link('polling'), welcome(1, true, { incarnation: 2 }));
  const probe = page.all('transmit').find(({ link }) => link === page.link('websocket'));
  assert.ok(probe?.message[0]?.type === 'hello' && !probe.message[0].attach);
  assert.deepEqual([probe.message[0].resume?.incarnation, probe.message[0].resume?.positions], [2, undefined]);
});

test('N3: the channels that the new page holds are stated from then on', () => {
  const [before] = Bench.up('websocket');
  const page = reload(before);
  page.command(subscribe('a'));
  const [poll] = page.opening();
  page.down(poll, welcome(1, true, { incarnation: 2 }));
  page.down(poll, items(1, subscribed('a', 9, 1)));
  page.taken();
  page.run();
  page.down(poll, retry('positions'));
  assert.deepEqual(page.polled().resume?.positions, { a: position(9) });
});
