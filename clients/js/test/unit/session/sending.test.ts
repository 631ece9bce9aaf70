/** What is sent, and what comes of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { OutcomeUnknown, Rejected, SessionClosed } from '../../../src/index.js';
import type { ReceivedIntent } from '../../../src/testing.js';
import { heard, world } from './world.js';

test('a send is answered by the application', async () => {
  const { gateway, clock, open } = world();
  const intents: ReceivedIntent[] = [];
  gateway.onSend((intent) => {
    intents.push(intent);
    return { data: { answer: 42 } };
  });
  const reply = open().send('game', { question: 6 }, { name: 'ask', id: 'once', meta: { trace: 'a' } });
  await clock.advance(0);
  assert.deepEqual(await reply, { data: { answer: 42 } });
  assert.deepEqual(intents, [{ channel: 'game', name: 'ask', id: 'once', meta: { trace: 'a' }, data: { question: 6 }, session: 'session1' }]);
});

test('sends are carried out in order, over whatever links it takes, each once', async () => {
  const { gateway, clock, open } = world({ latencyMs: 5 });
  const session = open();
  const numbers: unknown[] = [];
  gateway.onSend(({ data }) => {
    numbers.push(data);
    return {};
  });
  const replies: Promise<unknown>[] = [];
  for (let n = 0; n < 300; n++) {
    replies.push(session.send('game', n));
    if (n % 3 === 0) await clock.advance(7);
    if (n % 50 === 49) gateway.cut();
  }
  await clock.advance(60_000);
  await Promise.all(replies);
  assert.deepEqual(
    numbers,
    replies.map((_, n) => n),
  );
});

test('more sends than may be under way wait their turn', async () => {
  const { gateway, clock, open } = world();
  const session = open({ commands: 2 });
  let carriedOut = 0;
  gateway.onSend(() => ({ data: ++carriedOut }));
  const replies = Promise.all(Array.from({ length: 200 }, () => session.send('game')));
  await clock.advance(1_000);
  assert.deepEqual(
    (await replies).map(({ data }) => data),
    Array.from({ length: 200 }, (_, index) => index + 1),
  );
});

test('what the application refuses is rejected, with its code', async () => {
  const { gateway, clock, open } = world();
  gateway.onSend(() => {
    throw new Rejected({ code: 'too_late', message: 'the round is over', retryable: false });
  });
  const sent = open().send('game', 1);
  const rejected = assert.rejects(sent, (error: unknown) => {
    return error instanceof Rejected && error.code === 'too_late' && error.message === 'the round is over' && !error.retryable;
  });
  await clock.advance(0);
  await rejected;
});

test('C6: a send that was said when its session was lost ends with an unknown outcome', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.onSend(() => new Promise(() => {}));
  const sent = assert.rejects(session.send('game', 1), OutcomeUnknown);
  await clock.advance(0);
  const lost = heard((hear) => session.on('lost', hear));
  gateway.loseSessions();
  await clock.advance(5_000);
  await sent;
  assert.deepEqual(lost, [{ reason: 'session_unknown', isFinal: false }]);
});

test('aborting a send means that nobody waits: it is carried out all the same', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  let carriedOut = 0;
  gateway.onSend(() => ({ data: ++carriedOut }));
  const stop = new AbortController();
  const sent = session.send('game', 1, { signal: stop.signal });
  stop.abort();
  await assert.rejects(sent, { name: 'AbortError' });
  await assert.rejects(session.send('game', 2, { signal: stop.signal }), { name: 'AbortError' });
  await clock.advance(1_000);
  assert.equal(carriedOut, 1, 'one that was aborted before is not sent');
});

test('bytes are sent as bytes, as they were when they were sent', async () => {
  const { gateway, clock, open } = world();
  const received: ReceivedIntent[] = [];
  gateway.onSend((intent) => void received.push(intent));
  const session = open();
  const bytes = Uint8Array.of(1, 2, 3);
  const data = { list: [1] };
  void session.send('game', bytes);
  void session.send('game', data);
  bytes[0] = 9;
  data.list.push(2);
  await clock.advance(0);
  assert.deepEqual([received[0]?.bytes, received[1]?.data], [Uint8Array.of(1, 2, 3), { list: [1] }]);
});

test('what the gateway could not read is refused before it is sent', async () => {
  const session = world().open();
  const circle: unknown[] = [];
  circle.push(circle);
  let deep: unknown = 0;
  for (let level = 0; level < 129; level++) deep = [deep];
  const refused: (() => Promise<unknown>)[] = [
    () => session.send('game', circle),
    () => session.send('game', 1n),
    () => session.send('game', () => 1),
    () => session.send('game', deep),
    () => session.send('no spaces', 1),
    () => session.send('', 1),
    () => session.send('game', 1, { name: 'ü'.repeat(101) }),
    () => session.send('game', 1, { id: 'x'.repeat(65) }),
    () => session.send('game', 1, { meta: { Capital: 'x' } }),
    () => session.send('game', 1, { meta: { long: 'x'.repeat(1_024) } }),
  ];
  for (const send of refused) await assert.rejects(send(), TypeError, String(send));
  assert.throws(() => session.subscribe('no spaces'), TypeError);
});

test('half of a surrogate pair is replaced: the gateway takes no text with one', async () => {
  const { gateway, clock, open } = world();
  const received: unknown[] = [];
  gateway.onSend(({ data, name }) => void received.push(data, name));
  void open().send('game', { ['k\ud800']: ['a\udfff', '\\ud800', '😀'] }, { name: 'n\ud800' });
  await clock.advance(0);
  assert.deepEqual(received, [{ 'k\ufffd': ['a\ufffd', '\\ud800', '😀'] }, 'n\ufffd']);
});

test('a send that was never said when the session is closed is rejected as such', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.refuse({ delayMs: 10_000 });
  gateway.cut();
  await clock.advance(1_000);
  const sent = assert.rejects(session.send('game', 1), (error: unknown) => error instanceof SessionClosed && error.reason === 'closed');
  await clock.advance(1_000);
  void session.close();
  await clock.advance(5_000);
  await sent;
});
