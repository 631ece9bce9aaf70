/** The numbered commands over changing links: what is said again, how large it may be, and what comes of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ack, Bench, commands, items, position, refusal, reply, retry, send, subscribe, subscribed, welcome } from './bench.js';

test('C1: what a gateway did not take is said again', () => {
  const [bench] = Bench.up('polling');
  bench.taken();
  for (let n = 0; n < 3; n++) bench.command(send());
  const post = bench.one('post');
  assert.equal(commands(post.message)?.items.length, 3);
  bench.answer(post, ack(1));
  const again = commands(bench.one('post').message);
  assert.deepEqual([again?.first, again?.items.length], [2, 2]);
});

test('C2: a resume states the lowest unreplied command, and sends from what was received', () => {
  const [bench, first] = Bench.up('websocket');
  for (let n = 0; n < 3; n++) bench.command(send());
  bench.run();
  bench.down(first, ack(3), items(1, reply(2)));
  bench.ends(first);
  const [second, hello] = bench.opened();
  assert.equal(hello.resume?.low, 1);
  // Live memory: all were received.
  bench.down(second, welcome(1, true, { next: 2, received: 3 }));
  assert.equal(commands(bench.said()), undefined);
  bench.ends(second);
  bench.wait();
  // Rebuilt: from `low` again, the replied one as a noop.
  const [third] = bench.opened();
  bench.down(third, welcome(1, true, { incarnation: 2, next: 2, received: 0 }));
  assert.deepEqual(commands(bench.said())?.items, [send(), { type: 'noop' }, send()]);
});

test('a command larger than a message is refused at once, and the largest that fits is not', () => {
  const [bench] = Bench.up('websocket');
  const tooLarge = { ...send(), bytes: new Uint8Array(64 * 1_024) };
  const outcome = bench.outcome(bench.command(tooLarge));
  assert.ok(outcome?.kind === 'rejected' && outcome.error.code === 'message_too_large' && !outcome.error.retryable);
  // What is three bytes in UTF-8 counts as three.
  assert.equal(bench.outcome(bench.command(send({ data: '€'.repeat(22_000) })))?.kind, 'rejected');
  const fits = bench.command(send({ data: '€'.repeat(21_600) }));
  assert.equal(bench.outcome(fits), undefined);
  const message = bench.said().find(({ type }) => type === 'commands');
  assert.ok(new TextEncoder().encode(JSON.stringify(message)).length <= 65_536);
});

test('a message that is too large fails its largest command, and is no refusal of the client', () => {
  const [bench] = Bench.up('websocket');
  const error = { type: 'error', code: 'message_too_large', message: '', fatal: true } as const;
  for (let n = 0; n < 3; n++) {
    const large = bench.command(send({ data: 'x'.repeat(20_000) }));
    bench.run();
    bench.down(bench.link('websocket'), error, retry('protocol_error', 1_000));
    const outcome = bench.outcome(large);
    assert.ok(outcome?.kind === 'rejected' && outcome.error.code === 'message_too_large');
    bench.wait();
    const [link] = bench.opened();
    bench.down(link, welcome(1, true));
  }
  assert.equal(bench.core.state.name, 'live');
});

test('messages stay within what the gateway takes, however much waits', () => {
  for (const transport of ['websocket', 'polling'] as const) {
    const [bench] = Bench.up(transport);
    bench.taken();
    for (let n = 0; n < 40; n++) bench.command(send({ data: `${n}${'"'.repeat(5_000)}` }));
    for (let n = 0; n < 20; n++) bench.core.volatile(bench.now, { channel: 'room', name: `${n}`, data: 'x'.repeat(4_000) });
    for (let rounds = 0; rounds < 100; rounds++) {
      const outputs = bench.run();
      for (const output of outputs) {
        if (!('message' in output)) continue;
        const bytes = output.message.reduce((sum, frame) => sum + new TextEncoder().encode(JSON.stringify(frame)).length + 1, 0);
        assert.ok(bytes <= 65_536, `${bytes} on ${transport}`);
        if (output.do !== 'post') continue;
        const said = commands(output.message);
        bench.answer(output, ack(said ? said.first + said.items.length - 1 : 0));
      }
      if (!outputs.length) break;
    }
    assert.deepEqual(bench.run(), []);
  }
});

test('a reply tells who waits what became of it', () => {
  const [bench, link] = Bench.up('websocket');
  const tickets = [send(), send(), subscribe('a'), subscribe('b'), { type: 'unsubscribe', channel: 'a' } as const].map((command) => bench.command(command));
  bench.run();
  const done = { type: 'reply', command: 1, ok: true, position: position(3), data: { n: 1 } } as const;
  bench.down(
    link,
    items(1, done, refusal(2, 'full'), subscribed('a', 4, 3), refusal(4, 'forbidden'), { type: 'unsubscribed', channel: 'a', command: 5, reason: 'requested' }),
  );
  const outcomes = tickets.map((ticket) => bench.outcome(ticket));
  assert.deepEqual(
    outcomes.map((outcome) => outcome?.kind),
    ['accepted', 'rejected', 'subscribed', 'rejected', 'unsubscribed'],
  );
  const [accepted] = outcomes;
  assert.ok(accepted?.kind === 'accepted');
  assert.deepEqual([accepted.reply.data, accepted.reply.position], [{ n: 1 }, position(3)]);
});

test('an error about a command is its reply, and says whether it may succeed later', () => {
  const [bench, link] = Bench.up('websocket');
  const codes = ['overloaded', 'too_many_channels', 'too_many_subscriptions', 'malformed_payload', 'never_heard_of'];
  const tickets = codes.map(() => bench.command(send()));
  bench.run();
  codes.forEach((code, index) => bench.down(link, { type: 'error', code, message: 'why', command: index + 1, fatal: false }));
  const outcomes = tickets.map((ticket) => bench.outcome(ticket));
  assert.deepEqual(
    outcomes.map((outcome) => outcome?.kind === 'rejected' && outcome.error.retryable),
    [true, true, false, false, false],
  );
});

test('the room for commands is what the application asked for', () => {
  const [bench, link] = Bench.up('websocket', { commands: 2 });
  assert.ok(bench.core.hasRoom);
  bench.command(send());
  assert.ok(bench.core.hasRoom);
  bench.command(send());
  assert.ok(!bench.core.hasRoom);
  bench.run();
  bench.down(link, items(1, reply(1)));
  assert.ok(bench.core.hasRoom);
});
