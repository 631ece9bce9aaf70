/** Who is told, whatever others do. */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { mock, test } from 'node:test';

import { heard, world } from './world.js';

test('a listener that throws is reported and stops nobody', async () => {
  const { gateway, clock, open } = world();
  const reported = mock.method(console, 'error', () => {});
  const session = open();
  const room = session.subscribe('room');
  room.on('event', () => {
    throw new Error('mine');
  });
  const data = heard<unknown>((hear) => room.on('event', (event) => hear(event.data)));
  session.on('state', () => {
    throw new Error('another');
  });
  await clock.advance(1_000);
  gateway.publish('room', 1);
  gateway.publish('room', 2);
  await clock.advance(0);
  reported.mock.restore();
  assert.deepEqual(data, [1, 2]);
  assert.deepEqual(reported.mock.calls.map(({ arguments: [error] }) => (error as Error).message).slice(-2), ['mine', 'mine']);
});

test('a store of verdicts that throws is reported and stops nothing', async () => {
  const { clock, open } = world();
  const reported = mock.method(console, 'error', () => {});
  const refuse = (word: string) => (): never => {
    throw new Error(word);
  };
  const session = open({ verdicts: { load: refuse('load'), save: refuse('save') } });
  await clock.advance(20_000);
  await session.close();
  reported.mock.restore();
  assert.equal(session.state.name, 'closed');
  assert.deepEqual(reported.mock.calls.map(({ arguments: [error] }) => (error as Error).message), ['load', 'save']);
});

test('a listener may send, leave and close in the middle of a delivery', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  const [one, two] = [session.subscribe('one'), session.subscribe('two')];
  const told: string[] = [];
  const replies: unknown[] = [];
  one.on('event', ({ data }) => {
    told.push(`one ${String(data)}`);
    if (data === 'send') void session.send('other', 1).then(() => replies.push('sent'));
    if (data === 'leave') void two.leave();
    if (data === 'close') void session.close();
  });
  two.on('event', ({ data }) => told.push(`two ${String(data)}`));
  await clock.advance(1_000);
  for (const word of ['send', 'leave']) {
    gateway.publish('one', word);
    gateway.publish('two', word);
    await clock.advance(0);
  }
  gateway.publish('one', 'close');
  gateway.publish('one', 'after');
  await clock.advance(5_000);
  assert.deepEqual(told, ['one send', 'two send', 'one leave', 'one close']);
  assert.deepEqual(replies, ['sent']);
  assert.equal(session.state.name, 'closed');
});

test('a listener that was taken back hears nothing more, not even of what is being told', async () => {
  const { gateway, clock, open } = world();
  const room = open().subscribe('room');
  const told: string[] = [];
  room.on('event', () => {
    told.push('first');
    off();
  });
  const off = room.on('event', () => told.push('second'));
  const stop = new AbortController();
  room.on('event', () => told.push('third'), { signal: stop.signal });
  await clock.advance(1_000);
  gateway.publish('room');
  await clock.advance(0);
  stop.abort();
  gateway.publish('room');
  await clock.advance(0);
  assert.deepEqual(told, ['first', 'third', 'first']);
});

test('a signal that outlives its channels is not held by them', async () => {
  const { clock, open } = world();
  const session = open();
  const { signal } = new AbortController();
  for (let n = 0; n < 3; n++) {
    const room = session.subscribe(`room:${n}`, { signal });
    room.on('event', () => {}, { signal });
    await clock.advance(100);
    void room.leave();
    room.on('event', () => {}, { signal });
    await clock.advance(100);
  }
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});
