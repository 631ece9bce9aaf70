/** Optimistic views: shown at once, never twice, whatever comes first. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { OutcomeUnknown, Rejected, SessionClosed } from '../../../src/index.js';
import type { Channel, ChannelEvent, Reply } from '../../../src/index.js';
import { optimistic, type View } from '../../../src/optimistic.js';
import type { ReceivedIntent } from '../../../src/testing.js';
import { heard, world, type World } from '../session/world.js';

interface Events {
  said: string;
}

const append = (state: readonly string[], { data }: ChannelEvent<Events>): readonly string[] => [...state, data];

interface Held {
  readonly intent: ReceivedIntent;
  reply(reply: Reply): void;
  fail(error: Error): void;
}

interface Made extends World {
  readonly room: Channel<Events, readonly string[]>;
  readonly view: View<readonly string[]>;
  /** What was shown, change by change. */
  readonly shown: string[];
  /** What was withdrawn, and why. */
  readonly withdrawn: [string, Error][];
  /** What waits for its reply. */
  readonly held: Held[];
  /** Says a word, shown as `word?` until it is known. */
  say(word: string, id?: string): Promise<unknown>;
  /** As the gateway does for a `send` of this session: publishes with its sender. */
  publishOwn(word: string): void;
}

async function begin(snapshot?: () => Promise<{ state: readonly string[]; position: { epoch: string; offset: number } }>): Promise<Made> {
  const made = world({ latencyMs: 10 });
  const { gateway, clock, open } = made;
  const session = open();
  const held: Held[] = [];
  gateway.onSend((intent) => new Promise((reply, fail) => held.push({ intent, reply, fail })));
  const room = session.subscribe<Events, readonly string[]>('room', snapshot && { snapshot });
  const view = optimistic(room, { initial: [], apply: append });
  const shown: string[] = [];
  view.on('change', (state) => shown.push(state.join(' ')));
  const withdrawn: [string, Error][] = [];
  await clock.advance(1_000);
  return {
    ...made,
    room,
    view,
    shown,
    withdrawn,
    held,
    say: (word, id) => {
      const said = view.send(word, {
        name: 'said',
        ...(id !== undefined && { id }),
        optimistic: (state) => [...state, `${word}?`],
        rollback: (error) => withdrawn.push([word, error]),
      });
      return said.catch((error: unknown) => error);
    },
    publishOwn: (word) => void gateway.publish('room', word, { name: 'said', sender: { session: session.id ?? '' } }),
  };
}

test('what is sent is shown at once, and becomes its event in one step', async () => {
  const { gateway, clock, view, shown, held, say, publishOwn } = await begin();
  const said = say('a');
  assert.deepEqual([view.state, view.confirmed, view.pending], [['a?'], [], 1]);
  await clock.advance(10);
  publishOwn('a');
  held[0]?.reply({ position: gateway.position('room') });
  await clock.advance(100);
  assert.deepEqual(shown, ['a?', 'a']);
  assert.deepEqual(view.pending, 0);
  assert.deepEqual(await said, { position: { epoch: 'e1', offset: 1 } });
});

test('with the reply first, what is pending stays until its event is applied', async () => {
  const { gateway, clock, shown, held, say, publishOwn } = await begin();
  void say('a');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 2 } });
  await clock.advance(100);
  gateway.publish('room', 'b', { name: 'said' });
  await clock.advance(100);
  publishOwn('a');
  await clock.advance(100);
  assert.deepEqual(shown, ['a?', 'b a?', 'b a']);
});

test('with the event first, it waits for the reply, and what follows it waits too', async () => {
  const { gateway, clock, shown, held, say, publishOwn } = await begin();
  void say('a');
  await clock.advance(10);
  publishOwn('a');
  const position = gateway.position('room');
  gateway.publish('room', 'b', { name: 'said' });
  await clock.advance(100);
  assert.deepEqual(shown, ['a?']);
  held[0]?.reply({ position });
  await clock.advance(100);
  assert.deepEqual(shown, ['a?', 'a b']);
});

test('an event of another, or of this session by other means, is applied at once', async () => {
  const { gateway, clock, shown, held, say, publishOwn } = await begin();
  publishOwn('mine');
  await clock.advance(100);
  void say('a');
  await clock.advance(10);
  gateway.publish('room', 'b', { name: 'said', sender: { session: 'another' } });
  await clock.advance(100);
  publishOwn('a');
  held[0]?.reply({ position: gateway.position('room') });
  await clock.advance(100);
  assert.deepEqual(shown, ['mine', 'mine a?', 'mine b a?', 'mine b a']);
});

test('an event of this session that is no answer waits only as long as a reply is due', async () => {
  const { gateway, clock, shown, held, say, publishOwn } = await begin();
  void say('a');
  await clock.advance(10);
  publishOwn('x');
  await clock.advance(100);
  held[0]?.reply({ position: { epoch: 'e1', offset: 2 } });
  await clock.advance(100);
  gateway.publish('room', 'a', { name: 'said' });
  await clock.advance(100);
  assert.deepEqual(shown, ['a?', 'x a?', 'x a']);
});

test('two are pending on one state, and each is dropped with its own event', async () => {
  const { gateway, clock, shown, held, say, publishOwn } = await begin();
  void say('a');
  void say('b');
  await clock.advance(10);
  publishOwn('a');
  held[0]?.reply({ position: gateway.position('room') });
  await clock.advance(50);
  publishOwn('b');
  held[1]?.reply({ position: gateway.position('room') });
  await clock.advance(50);
  assert.deepEqual(shown, ['a?', 'a? b?', 'a b?', 'a b']);
});

test('one that is rejected between others is withdrawn, told, and the others stay', async () => {
  const { clock, shown, withdrawn, held, say, publishOwn, gateway } = await begin();
  const words = ['a', 'b', 'c'].map((word) => say(word));
  await clock.advance(10);
  held[1]?.fail(new Rejected({ code: 'too_late', message: 'no', retryable: false }));
  await clock.advance(50);
  assert.deepEqual(shown.at(-1), 'a? c?');
  assert.ok((await words[1]) instanceof Rejected);
  assert.deepEqual(
    withdrawn.map(([word, error]) => [word, (error as Rejected).code]),
    [['b', 'too_late']],
  );
  for (const [index, word] of [
    [0, 'a'],
    [2, 'c'],
  ] as const) {
    publishOwn(word);
    held[index]?.reply({ position: gateway.position('room') });
    await clock.advance(50);
  }
  assert.deepEqual(shown, ['a?', 'a? b?', 'a? b? c?', 'a? c?', 'a c?', 'a c']);
});

test('a duplicate that is answered as the first was shows nothing twice', async () => {
  const { gateway, clock, view, shown, held, say, publishOwn } = await begin();
  void say('a', 'once');
  await clock.advance(10);
  publishOwn('a');
  const position = gateway.position('room');
  held[0]?.reply({ position });
  await clock.advance(50);
  void say('a', 'once');
  await clock.advance(10);
  held[1]?.reply({ position });
  await clock.advance(50);
  assert.deepEqual([shown, view.pending], [['a?', 'a', 'a a?', 'a'], 0]);
});

test('a reply that names no position drops what is pending', async () => {
  const { clock, view, held, say } = await begin();
  void say('a');
  await clock.advance(10);
  held[0]?.reply({ data: { duplicate: true } });
  await clock.advance(50);
  assert.deepEqual([view.state, view.pending], [[], 0]);
});

test('a send of unknown outcome is withdrawn and told; an event of it that comes later is shown', async () => {
  const { gateway, clock, view, shown, withdrawn, say, publishOwn } = await begin();
  const said = say('a');
  await clock.advance(10);
  publishOwn('a');
  await clock.advance(50);
  assert.deepEqual(view.state, ['a?']);
  gateway.loseSessions();
  await clock.advance(5_000);
  assert.ok((await said) instanceof OutcomeUnknown);
  assert.ok(withdrawn[0]?.[1] instanceof OutcomeUnknown);
  assert.deepEqual([shown, view.pending], [['a?', 'a'], 0]);
});

test('what was accepted and whose event comes only after the session was lost is dropped with it', async () => {
  const { gateway, clock, view, shown, held, say } = await begin();
  void say('a');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 1 } });
  await clock.advance(50);
  gateway.loseSessions();
  gateway.publish('room', 'a', { name: 'said' });
  await clock.advance(5_000);
  assert.deepEqual([shown, view.pending], [['a?', 'a'], 0]);
});

test('a snapshot after a gap drops what it has, and keeps what it has not', async () => {
  const answers = [
    { state: ['old'], position: { epoch: 'e1', offset: 0 } },
    { state: ['old', 'a', 'x'], position: { epoch: 'e1', offset: 2 } },
  ];
  const { gateway, clock, view, shown, held, say } = await begin(async () => answers.shift() ?? Promise.reject(new Error('no more')));
  void say('a');
  void say('b');
  void say('c');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 1 } });
  held[1]?.reply({ position: { epoch: 'e1', offset: 3 } });
  await clock.advance(50);
  gateway.gap('room', { events: 2 });
  await clock.advance(100);
  assert.deepEqual([view.state, view.pending], [['old', 'a', 'x', 'b?', 'c?'], 2]);
  gateway.publish('room', 'b', { name: 'said' });
  await clock.advance(50);
  held[2]?.reply({ position: { epoch: 'e1', offset: 2 } });
  await clock.advance(50);
  assert.deepEqual(shown.slice(-3), ['old a x b? c?', 'old a x b c?', 'old a x b']);
  assert.equal(view.pending, 0);
});

test('without a snapshot a gap drops what it swallowed, and so does another epoch', async () => {
  const { gateway, clock, view, held, say } = await begin();
  void say('a');
  void say('b');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 1 } });
  gateway.publish('room', 'x', { name: 'said' });
  gateway.gap('room', { events: 1 });
  await clock.advance(50);
  assert.deepEqual([view.state, view.pending], [['x', 'b?'], 1]);
  held[1]?.reply({ position: { epoch: 'e1', offset: 9 } });
  await clock.advance(50);
  assert.equal(view.pending, 1);
  gateway.gap('room', { newEpoch: true });
  await clock.advance(50);
  assert.deepEqual([view.state, view.pending], [['x'], 0]);
  // A reply of the epoch before may come after the change.
  void say('c');
  await clock.advance(10);
  held[2]?.reply({ position: { epoch: 'e1', offset: 10 } });
  await clock.advance(50);
  assert.equal(view.pending, 0);
});

test('closing the session withdraws what has no reply, and the end of the channel what waits for its event', async () => {
  const { clock, view, withdrawn, held, room, say } = await begin();
  void say('a');
  void say('b');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 1 } });
  await clock.advance(50);
  void room.leave();
  assert.deepEqual(view.state, ['b?']);
  await clock.advance(50);
  const { open } = world();
  const other = open();
  const closing = optimistic(other.subscribe<Events, readonly string[]>('room'), { initial: [], apply: append });
  const errors = heard<unknown>((hear) => {
    closing.send('z', { optimistic: (state) => [...state, 'z'], rollback: hear }).catch(() => {});
  });
  void other.close();
  await clock.advance(50);
  assert.ok(errors[0] instanceof SessionClosed);
  assert.deepEqual([closing.state, withdrawn], [[], []]);
});

test('a send that is refused before it is sent is withdrawn; one whose signal is aborted is not even shown', async () => {
  const { view, shown, withdrawn, clock } = await begin();
  const show = (state: readonly string[]): readonly string[] => [...state, 'a?'];
  await assert.rejects(view.send(1n, { optimistic: show, rollback: (error) => withdrawn.push(['a', error]) }), TypeError);
  await clock.advance(0);
  assert.deepEqual([shown, withdrawn.length], [['a?', ''], 1]);
  await assert.rejects(view.send('a', { optimistic: show, signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(
    view.send('a', {
      optimistic: () => {
        throw new Error('mine');
      },
    }),
    /mine/,
  );
  assert.deepEqual([shown.length, view.pending], [2, 0]);
});

test('aborting a send leaves what is shown until it is known what came of it', async () => {
  const { gateway, clock, view, held, publishOwn } = await begin();
  const stop = new AbortController();
  const said = view.send('a', { optimistic: (state) => [...state, 'a?'], signal: stop.signal });
  await clock.advance(10);
  stop.abort();
  await assert.rejects(said, { name: 'AbortError' });
  assert.deepEqual(view.state, ['a?']);
  publishOwn('a');
  held[0]?.reply({ position: gateway.position('room') });
  await clock.advance(50);
  assert.deepEqual(view.state, ['a']);
});

test('a view that is made late is filled by another snapshot; one that is closed hears no more', async () => {
  const { gateway, clock, room, view } = await begin(async () => ({ state: ['s'], position: { epoch: 'e1', offset: 0 } }));
  assert.deepEqual(view.state, ['s']);
  const late = optimistic(room, { initial: [], apply: append });
  await clock.advance(50);
  assert.deepEqual(late.state, ['s']);
  view.close();
  gateway.publish('room', 'b', { name: 'said' });
  await clock.advance(50);
  assert.deepEqual([view.state, late.state], [['s'], ['s', 'b']]);
});

test('an event that waits for its reply does not hold a snapshot up', async () => {
  let answer: (snapshot: { state: readonly string[]; position: { epoch: string; offset: number } }) => void = () => {};
  const { gateway, clock, view, held, say, publishOwn } = await begin(() => new Promise((resolve) => (answer = resolve)));
  answer({ state: ['old'], position: { epoch: 'e1', offset: 0 } });
  await clock.advance(0);
  void say('a');
  void say('b');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 2 } });
  await clock.advance(50);
  // Of this session, and no answer to `a`: it waits for the reply to `b`.
  publishOwn('b');
  await clock.advance(50);
  gateway.gap('room', { events: 2 });
  await clock.advance(50);
  assert.deepEqual(view.state, ['old', 'a?', 'b?']);
  answer({ state: ['old', 'b', 'a', 'x'], position: { epoch: 'e1', offset: 3 } });
  await clock.advance(0);
  assert.deepEqual(view.state, ['old', 'b', 'a', 'x', 'b?']);
  held[1]?.reply({ position: { epoch: 'e1', offset: 1 } });
  await clock.advance(50);
  assert.deepEqual([view.state, view.pending], [['old', 'b', 'a', 'x'], 0]);
});

test('while the snapshot after a gap is on its way, what the gap swallowed stays as it is shown', async () => {
  let answer: (snapshot: { state: readonly string[]; position: { epoch: string; offset: number } }) => void = () => {};
  const { gateway, clock, view, shown, held, say } = await begin(() => new Promise((resolve) => (answer = resolve)));
  answer({ state: ['old'], position: { epoch: 'e1', offset: 0 } });
  await clock.advance(0);
  void say('a');
  await clock.advance(10);
  held[0]?.reply({ position: { epoch: 'e1', offset: 1 } });
  await clock.advance(50);
  gateway.gap('room');
  await clock.advance(50);
  answer({ state: ['old', 'a'], position: { epoch: 'e1', offset: 1 } });
  await clock.advance(0);
  assert.deepEqual([shown, view.pending], [['old', 'old a?', 'old a'], 0]);
});
