/** Reading server-sent events, as the HTML standard (section 9.2) has them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventStream } from '../../../src/transports/event-stream.js';

test('an event is its data lines', () => {
  assert.deepEqual(eventStream()('id: 1\ndata: {}\n\ndata:a\ndata: b\ndata\n\n'), ['{}', 'a\nb\n']);
});

test('comments, ids and advice make no event', () => {
  assert.deepEqual(eventStream()(': alive\n\nid: 7\n\nretry: 5\nevent: x\ndatabase: y\n\ndata:\n\n'), []);
});

test('one space after the colon is no data, and a second one is', () => {
  assert.deepEqual(eventStream()('data:  a\n\n'), [' a']);
});

test('every line end of the standard ends a line, and nothing else does', () => {
  assert.deepEqual(eventStream()('data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\u2028e\u0085\n\n'), ['a', 'b', 'c', 'd\u2028e\u0085']);
});

test('an event that has not ended is none', () => {
  const read = eventStream();
  assert.deepEqual(read('data: a\n'), []);
  assert.deepEqual(read('\n'), ['a']);
});

test('where the text is cut makes no difference', () => {
  const whole = ': c\r\ndata: a\r\ndata: A\r\n\r\ndata: b\rdata:\r\rid: 1\n\ndata: c\n\r\ndata: d\n\n';
  const expected = eventStream()(whole);
  assert.deepEqual(expected, ['a\nA', 'b\n', 'c', 'd']);
  for (let first = 0; first <= whole.length; first++) {
    for (let second = first; second <= whole.length; second++) {
      const read = eventStream();
      const parts = [whole.slice(0, first), whole.slice(first, second), whole.slice(second)];
      assert.deepEqual(parts.flatMap(read), expected);
    }
  }
});

test('a line of more than 1 MiB is given up while it grows, and so is an event of many lines', () => {
  const piece = 'x'.repeat(1 << 18);
  const line = eventStream();
  for (const part of ['data: ', piece, piece, piece, piece]) assert.deepEqual(line(part), []);
  assert.throws(() => line('x'.repeat(32)), { code: 'message_too_large' });
  const event = eventStream();
  for (let quarter = 0; quarter < 3; quarter++) assert.deepEqual(event(`data: ${piece}\n`), []);
  assert.throws(() => event(`data: ${piece}\ndata: ${piece}\n`), { code: 'message_too_large' });
});
