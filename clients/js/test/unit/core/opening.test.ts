/** First words: what opens a session, and what travels with it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Bench, commands, event, items, send, subscribe, subscribed, welcome } from './bench.js';

test('a session opens by a poll with its subscriptions, and the events come with the answer', () => {
  const bench = new Bench(['polling']);
  const ticket = bench.command(subscribe('news', { from: { last: 1 } }));
  assert.deepEqual(bench.core.state, { name: 'connecting', attempt: 1 });
  const [link, message] = bench.opening();
  const [hello] = message;
  assert.ok(hello?.type === 'hello' && hello.attach === 1 && !hello.resume);
  assert.equal(hello.instance.length, 26);
  assert.deepEqual(commands(message), { type: 'commands', first: 1, items: [subscribe('news', { from: { last: 1 } })] });
  bench.down(link, welcome(1, false, { received: 1 }), items(1, subscribed('news', 4, 1), event('news', 5)));
  assert.deepEqual(bench.outcome(ticket), { kind: 'subscribed', subscribed: subscribed('news', 4, 1) });
  assert.deepEqual(
    bench.taken().map((incoming) => incoming.hear),
    ['up', 'subscribed', 'event'],
  );
  assert.deepEqual(bench.core.state, { name: 'live', transport: 'polling' });
  const again = bench.polled();
  assert.deepEqual([again.attach, again.resume], [2, { token: 'token 1', incarnation: 1, after: 2, low: 2 }]);
});

test('C5: the message that opens a session carries no send', () => {
  for (const transport of ['websocket', 'polling', 'sse'] as const) {
    const bench = new Bench([transport]);
    bench.command(send());
    bench.command(subscribe('behind'));
    const [, message] = bench.opening();
    assert.deepEqual(
      message.map(({ type }) => type),
      ['hello'],
      transport,
    );
  }
});
