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

test('a buffer and every view of one are bytes, and copied', async () => {
  const { gateway, clock, open } = world();
  const received: (Uint8Array | undefined)[] = [];
  gateway.onSend(({ bytes }) => void received.push(bytes));
  const session = open();
  const buffer = Uint8Array.of(1, 2, 3, 4).buffer;
  const ofNode = Buffer.from('abc');
  for (const data of [buffer, new DataView(buffer, 1, 2), new Uint16Array(buffer, 2), ofNode]) void session.send('game', data);
  new Uint8Array(buffer).fill(9);
  ofNode.fill(9);
  await clock.advance(0);
  assert.deepEqual(received, [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(2, 3), Uint8Array.of(3, 4), Uint8Array.of(97, 98, 99)]);
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

test('what is of another type than it may be is refused at once, with the rule, and costs the session nothing', async () => {
  const { clock, open } = world();
  const session = open();
  const wrong: readonly (readonly [RegExp, () => unknown])[] = [
    ...[undefined, null, 5].map((channel) => [/^channel is 1 to 200 of/, () => session.subscribe(channel as never)] as const),
    ...[{ last: -1 }, { last: 1.5 }, { last: NaN }, { last: '5' }, {}, 'last', 5, { position: { epoch: 'e', offset: -1 } }].map(
      (from) => [/^from is 'now', \{ last \} or/, () => session.subscribe('room', { from: from as never })] as const,
    ),
    ...['', 'no spaces', 'x'.repeat(33), undefined].map(
      (epoch) => [/^from is /, () => session.subscribe('room', { from: { position: { epoch: epoch as never, offset: 1 } } })] as const,
    ),
    [/^from is /, () => session.subscribe('room', { from: { last: 1, position: { epoch: 'e', offset: 1 } } })],
    [/^presence is true or false, not "yes"$/, () => session.subscribe('room', { presence: 'yes' as never })],
    [/^token is a text of at most 8192 bytes, not 5$/, () => session.subscribe('room', { token: 5 as never })],
    [/^channel is /, () => session.send(undefined as never)],
    [/^name is a text of at most 200 bytes, not 5$/, () => session.send('room', 1, { name: 5 as never })],
    [/^id is a text of at most 64 bytes, not 5$/, () => session.send('room', 1, { id: 5 as never })],
    [/^meta is /, () => session.send('room', 1, { meta: 'x' as never })],
    [/^meta is at most 16 texts/, () => session.send('room', 1, { meta: { a: 1 as never } })],
  ];
  for (const [message, act] of wrong) await assert.rejects(async () => act(), { name: 'TypeError', message });
  const room = session.subscribe('room');
  const sent = session.send('room', 1);
  await clock.advance(0);
  await Promise.all([room.subscribed, sent]);
});

test('what was said wrongly is quoted as far as a person reads it, and a credential is not', () => {
  const session = world().open();
  assert.throws(() => session.subscribe('x'.repeat(300)), ({ message }: Error) => message.endsWith(`not "${'x'.repeat(63)}`));
  assert.throws(() => session.subscribe('room', { token: 'x'.repeat(9_000) }), ({ message }: Error) => !message.includes('x'.repeat(9)));
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
