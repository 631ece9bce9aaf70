/** What overlaps: moves by name and what is probed beside them, goodbyes and polls that are answered meanwhile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ack, Bench, ping, pong, retry, welcome } from './bench.js';

test('L10: a move by name is not overtaken by what is probed beside it', () => {
  let bench = new Bench(['websocket', 'sse', 'polling'], { negotiates: true });
  bench.run();
  bench.down(bench.link('polling'), welcome(1, false));
  let ticket = bench.migrate('sse');
  bench.pass(250);
  bench.run();
  const [stream, socket] = [bench.link('sse'), bench.link('websocket')];
  bench.down(stream, welcome(1, true), ping(7));
  const post = bench.one('post');
  bench.down(socket, welcome(1, true), ping(8));
  assert.equal(bench.outcome(ticket), undefined);
  assert.ok(bench.all('close').some(({ link }) => link === socket));
  bench.answer(post, ack(0));
  bench.down(stream, pong);
  assert.deepEqual([bench.core.active, bench.outcome(ticket)], [stream, { kind: 'migrated' }]);

  bench = new Bench(['sse', 'websocket', 'polling'], { negotiates: true });
  bench.run();
  bench.down(bench.link('polling'), welcome(1, false));
  bench.run();
  bench.down(bench.link('websocket'), welcome(1, true), ping(7));
  bench.down(bench.link('websocket'), pong);
  ticket = bench.migrate('polling');
  bench.run();
  const [poll, probe] = [bench.link('polling'), bench.link('sse')];
  bench.down(probe, welcome(1, true), ping(8));
  bench.pass(1_000);
  assert.deepEqual(bench.all('open'), [], 'it is left alone for a while');
  bench.down(poll, welcome(1, true));
  assert.deepEqual([bench.core.active, bench.outcome(ticket)], [poll, { kind: 'migrated' }]);
});

test('of two moves by name the later wins, though the earlier is attached', () => {
  const [bench] = Bench.up('websocket');
  const first = bench.migrate('polling');
  bench.run();
  const second = bench.migrate('sse');
  bench.run();
  const stream = bench.link('sse');
  bench.down(stream, welcome(1, true), ping(7));
  bench.run();
  bench.down(stream, pong);
  assert.deepEqual([bench.core.active, bench.outcome(second)], [stream, { kind: 'migrated' }]);
  assert.equal(bench.outcome(first)?.kind, 'stayed');
});

test('a goodbye by a poll is said before the session is over, though the poll before it is answered meanwhile', () => {
  const [bench, link] = Bench.up('polling');
  const before = bench.one('poll').attach;
  bench.core.close(bench.now);
  const goodbye = bench.one('poll');
  assert.deepEqual(goodbye.message.at(-1), { type: 'bye' });
  bench.core.handleAnswer(bench.now, link, before, [ack(0)]);
  assert.equal(bench.core.isClosed, false);
  bench.core.handleAnswer(bench.now, link, goodbye.attach, []);
  assert.equal(bench.core.isClosed, true);
});

test('a goodbye by a post is said before the session is over, though a poll is answered meanwhile', () => {
  const [bench, poll] = Bench.up('polling');
  bench.migrate('sse');
  bench.run();
  const stream = bench.link('sse');
  bench.down(stream, welcome(1, true), ping(7));
  bench.run();
  bench.core.close(bench.now);
  const goodbye = bench.one('post');
  bench.down(poll, retry('superseded'));
  assert.equal(bench.core.isClosed, false);
  bench.answer(goodbye);
  assert.equal(bench.core.isClosed, true);
});
