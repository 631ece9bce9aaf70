/** Presence, which positions do not say: it is asked for again wherever a session had to be rebuilt. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Bench, closed, commands, items, position, refusal, retry, subscribe, subscribed, welcome } from './bench.js';

/** A session that takes part in one channel, and holds another. */
function present(): [Bench, number] {
  const [bench, link] = Bench.up('websocket');
  bench.command(subscribe('a', { presence: true, token: 'key', from: { last: 1 } }));
  bench.command(subscribe('b'));
  bench.run();
  bench.down(link, items(1, subscribed('a', 4, 1), subscribed('b', 4, 2)));
  bench.taken();
  return [bench, link];
}

const wish = subscribe('a', { presence: true, token: 'key' });

test('presence is heard as an item of its channel', () => {
  const [bench, link] = present();
  const state = { type: 'presence', channel: 'a', kind: 'state', members: [{ session: 's' }], count: 1 } as const;
  bench.down(link, items(3, state));
  assert.deepEqual(bench.taken(), [{ hear: 'presence', number: 3, item: state }]);
});

test('after a rebuild presence is asked for again, and the application does not hear that as a subscription', () => {
  const [bench, old] = present();
  bench.down(old, retry('positions'));
  const [link] = bench.opened();
  bench.down(link, welcome(1, true, { incarnation: 2, next: 3, received: 2 }));
  assert.deepEqual(commands(bench.said())?.items, [wish]);
  bench.taken();
  bench.down(link, items(3, subscribed('a', 4), subscribed('a', 4, 3)));
  assert.deepEqual(
    bench.heard('subscribed').map(({ number }) => number),
    [3],
    'the gateway says that the channel stands, and the answer to the wish says nothing new',
  );
});

test('where the gateway took positions up in a new session, presence is asked for again', () => {
  const [bench, old] = present();
  bench.down(old, retry('ended'));
  const [link, hello] = bench.opened();
  assert.deepEqual(Object.keys(hello.resume?.positions ?? {}), ['a', 'b']);
  bench.down(link, welcome(2, false, { reason: 'session_unknown' }));
  assert.deepEqual(commands(bench.said())?.items, [wish]);
});

test('where it did not, the renewal asks for it', () => {
  const [bench, old] = present();
  bench.ends(old, closed(4100));
  const [, message] = bench.opening();
  assert.deepEqual(commands(message)?.items, [
    subscribe('a', { presence: true, token: 'key', from: { position: position(4) } }),
    subscribe('b', { from: { position: position(4) } }),
  ]);
});

test('what a renewal asks for is asked for once', () => {
  const [bench, old] = present();
  bench.ends(old, closed(4100));
  const [link] = bench.opened();
  bench.down(link, welcome(2, false));
  assert.equal(commands(bench.said()), undefined, 'it travelled with the hello');
  bench.down(link, retry('positions'));
  const [next] = bench.opened();
  bench.down(next, welcome(2, true, { incarnation: 2 }));
  assert.equal(commands(bench.said())?.items.filter(({ type }) => type === 'subscribe').length, 2, 'nor where it is rebuilt meanwhile');
  const [asked, before] = present();
  asked.down(before, retry('ended'));
  const [poll] = asked.opened();
  asked.down(poll, retry('superseded'));
  const [again] = asked.opened();
  asked.down(again, welcome(3, false));
  assert.equal(commands(asked.said()), undefined);
});

test('a resume without a rebuild asks for nothing', () => {
  const [bench, old] = present();
  bench.pass(1_000);
  bench.ends(old);
  const [link] = bench.opened();
  bench.down(link, welcome(1, true, { next: 3, received: 2 }));
  assert.equal(commands(bench.said()), undefined);
});

test('the wish is that of the last subscribe, and ends with the subscription', () => {
  for (const leave of [
    (bench: Bench, link: number) => {
      bench.command(subscribe('a', { token: 'key' }));
      bench.run();
      bench.down(link, items(3, subscribed('a', 4, 3)));
    },
    (bench: Bench, link: number) => bench.down(link, items(3, { type: 'unsubscribed', channel: 'a', reason: 'revoked' })),
  ]) {
    const [bench, old] = present();
    leave(bench, old);
    bench.down(old, retry('positions'));
    const [link] = bench.opened();
    bench.down(link, welcome(1, true, { incarnation: 2, next: 4, received: 2 }));
    assert.ok(!commands(bench.said())?.items.some((command) => command.type === 'subscribe' && command.presence));
  }
});

test('a wish that is refused is told, leaves the channel as it is, and is not said again', () => {
  const [bench, old] = present();
  bench.down(old, retry('positions'));
  const [link] = bench.opened();
  bench.down(link, welcome(1, true, { incarnation: 2, next: 3, received: 2 }));
  bench.run();
  bench.taken();
  bench.down(link, items(3, refusal(3, 'too_many_members')));
  assert.deepEqual(bench.taken(), [
    { hear: 'presenceLost', item: { channel: 'a' }, error: { code: 'too_many_members', message: '', retryable: false } },
  ]);
  bench.down(link, retry('positions'));
  const [next, hello] = bench.opened();
  assert.deepEqual(Object.keys(hello.resume?.positions ?? {}), ['a', 'b']);
  bench.down(next, welcome(1, true, { incarnation: 3, next: 4, received: 3 }));
  assert.equal(commands(bench.said()), undefined);
});

test('a renewal whose presence alone is refused is had without', () => {
  const [bench, old] = present();
  bench.ends(old, closed(4100));
  const [link] = bench.opened();
  bench.down(link, welcome(2, false));
  bench.taken();
  bench.down(link, items(1, refusal(1, 'too_many_members'), subscribed('b', 4, 2)));
  assert.deepEqual(commands(bench.said())?.items, [subscribe('a', { presence: false, token: 'key', from: { position: position(4) } })]);
  bench.down(link, items(3, subscribed('a', 4, 3)));
  assert.deepEqual(
    bench.taken().map(({ hear, ...told }) => [hear, 'item' in told && 'channel' in told.item && told.item.channel]),
    [
      ['presenceLost', 'a'],
      ['subscribed', 'b'],
      ['subscribed', 'a'],
    ],
  );
});

test('a wish that is refused once its channel is left is of no interest', () => {
  const [bench, old] = present();
  bench.down(old, retry('positions'));
  const [link] = bench.opened();
  bench.down(link, welcome(1, true, { incarnation: 2, next: 3, received: 2 }));
  bench.run();
  bench.taken();
  bench.down(link, items(3, { type: 'unsubscribed', channel: 'a', reason: 'revoked' }, refusal(3, 'too_many_members')));
  assert.deepEqual(bench.taken().map(({ hear }) => hear), ['unsubscribed']);
});
