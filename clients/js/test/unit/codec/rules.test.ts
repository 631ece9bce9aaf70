/** The rules of docs/codecs.md that a client holds a gateway to, where the vectors hold the client to them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import { json } from '../../../src/codec/json.js';

/** The code of the fault in a frame, or nothing. */
const fault = (frame: object | string) => json().decode(typeof frame === 'string' ? frame : JSON.stringify(frame)).fault?.code;
const item = (item: object) => fault({ type: 'items', first: 1, items: [item] });
const event = { type: 'event', channel: 'a', offset: 1, time: 1 };
const reply = { type: 'reply', command: 1, ok: false, error: { code: 'c', message: 'm', retryable: false } };

test('bytes are base64 with its padding, and with no bits left over', () => {
  for (const bytes of ['', 'AA==', 'AAA=', 'AAAA', '//8=']) assert.equal(item({ ...event, bytes }), undefined, bytes);
  for (const bytes of ['A', 'AA', 'AA=', 'AB==', '__8=', 'AAAA AAAA', 'AAAA=', '!']) {
    assert.equal(item({ ...event, bytes }), 'malformed_payload', bytes);
  }
});

test('a payload is data or bytes and not both, though either be empty', () => {
  assert.equal(item({ ...event, data: null, bytes: '' }), 'malformed_payload');
  assert.equal(fault({ type: 'volatile', channel: 'a', time: 1, seq: 1, data: 0, bytes: 'AA==' }), 'malformed_payload');
});

test('null is data, and no other member', () => {
  assert.equal(item({ ...event, data: null }), undefined);
  for (const name of ['channel', 'offset', 'name', 'sender', 'meta', 'bytes']) {
    assert.equal(item({ ...event, [name]: null }), 'malformed_frame', name);
  }
});

test('a reply that says no has neither position nor payload, not even an empty one', () => {
  assert.equal(item(reply), undefined);
  for (const more of [{ data: null }, { data: 0 }, { bytes: '' }, { position: { epoch: 'e', offset: 1 } }]) {
    assert.equal(item({ ...reply, ...more }), 'malformed_frame', JSON.stringify(more));
  }
});

test('a text is at most as long as its member may be, in bytes', () => {
  assert.equal(item({ ...event, name: 'x'.repeat(200) }), undefined);
  assert.equal(item({ ...event, name: 'é'.repeat(100) }), undefined);
  assert.equal(item({ ...event, name: 'x'.repeat(201) }), 'message_too_large');
  assert.equal(item({ ...event, name: `${'é'.repeat(100)}x` }), 'message_too_large');
});

test('meta has at most 16 names, 1,024 bytes, and names of at most 32 letters', () => {
  const names = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`n${at}`, '']));
  for (const meta of [names(16), { a: 'x'.repeat(1_023) }, { ['a'.repeat(32)]: '' }]) assert.equal(item({ ...event, meta }), undefined);
  for (const meta of [names(17), { a: 'x'.repeat(1_024) }, { ['a'.repeat(33)]: '' }, { A: '' }, { '': '' }]) {
    assert.equal(item({ ...event, meta }), 'invalid_meta');
  }
  for (const meta of [{ a: 1 }, [], 'a']) assert.equal(item({ ...event, meta }), 'malformed_frame');
});

test('integers are neither negative nor broken nor beyond 2^53 - 1', () => {
  for (const offset of [0, 2 ** 53 - 1]) assert.equal(item({ ...event, offset }), undefined);
  for (const offset of [-1, 1.5, 2 ** 53]) assert.equal(item({ ...event, offset }), 'number_out_of_range');
  for (const offset of ['1', true, {}]) assert.equal(item({ ...event, offset }), 'malformed_frame');
});

test('channels and epochs are of their letters', () => {
  for (const channel of ['', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(201)]) assert.equal(item({ ...event, channel }), 'invalid_channel');
  for (const epoch of ['', ' ', 'é', 'x'.repeat(33)]) {
    assert.equal(item({ type: 'gap', to: { epoch, offset: 1 }, exact: true, reason: 'trimmed' }), 'invalid_position');
  }
});

test('an object is no list, and a list is no object', () => {
  assert.equal(fault('[]'), 'malformed_frame');
  assert.equal(fault('null'), 'malformed_frame');
  assert.equal(fault('{"type":1}'), 'malformed_frame');
  assert.equal(fault({ type: 'items', first: 1, items: {} }), 'malformed_frame');
  assert.equal(item([]), 'malformed_frame');
  assert.equal(item({ ...event, sender: [] }), 'malformed_frame');
});

test('names that every object inherits are unknown all the same', () => {
  assert.equal(fault('{"type":"constructor"}'), 'unknown_frame');
  assert.equal(fault('{"type":"__proto__"}'), 'unknown_frame');
  assert.deepEqual(json().decode('{"type":"items","first":1,"items":[{"type":"toString"}]}').frames[0], { type: 'items', first: 1, items: [{ type: 'unknown' }] });
});

test('a mark of byte order is no space before a frame, and a letter inside one', () => {
  assert.equal(fault('\ufeff{"type":"ping"}'), 'malformed_frame');
  assert.equal(json().decode(new TextEncoder().encode('\ufeff{"type":"ping"}')).fault?.code, 'malformed_frame');
  // error, code "\ufeff", message empty, no command, not fatal
  const { frames } = bincode().decode(Uint8Array.of(8, 15, 3, 0xef, 0xbb, 0xbf, 0, 0, 0));
  assert.deepEqual(frames, [{ type: 'error', code: '\ufeff', message: '', fatal: false }]);
});

test('what the schema does not know does not pass', () => {
  const { frames } = json().decode('{"type":"pong","later":1,"nonce":7}');
  assert.deepEqual(frames, [{ type: 'pong', nonce: 7 }]);
});

test('a message of text is none of the binary codec', () => {
  assert.equal(bincode().decode('').fault?.code, 'malformed_frame');
});

/** The code of the fault in a binary frame, which is put behind its length. */
const binary = (...frame: number[]) => bincode().decode(Uint8Array.of(frame.length, ...frame)).fault?.code;
/** A volatile in channel a, at time 1 and seq 1, without name and sender, up to its payload. */
const VOLATILE = [7, 1, 97, 0, 1, 1, 0];

test('a flag and a presence are 0 or 1, as bytes', () => {
  assert.equal(binary(...VOLATILE, 0), undefined);
  assert.equal(binary(7, 1, 97, 2, 1, 1, 0, 0), 'malformed_frame');
  // error, no code, no message, no command, and fatal
  assert.equal(binary(15, 0, 0, 0, 1), undefined);
  assert.equal(binary(15, 0, 0, 0, 2), 'malformed_frame');
});

test('a payload is nothing, JSON or bytes, as a byte', () => {
  assert.equal(binary(...VOLATILE, 1, 1, 0x30), undefined);
  assert.equal(binary(...VOLATILE, 2, 1, 0x30), undefined);
  assert.equal(binary(...VOLATILE, 3, 1, 0x30), 'malformed_payload');
  assert.equal(binary(...VOLATILE, 1, 1, 0x7b), 'malformed_payload');
  assert.equal(binary(...VOLATILE, 1, 1, 0xff), 'not_utf8');
  assert.equal(binary(...VOLATILE, 1, 8, ...new TextEncoder().encode('"\\ud800"')), 'lone_surrogate');
});

test('a length is never beyond what contains it', () => {
  assert.equal(binary(...VOLATILE, 2, 2, 0x30), 'malformed_frame');
  assert.equal(binary(15, 3, 97, 0, 0, 0), 'malformed_frame');
  assert.equal(bincode().decode(Uint8Array.of(2, 8)).fault?.code, 'malformed_frame');
});

test('an integer begins with no byte above 253', () => {
  for (const first of [254, 255]) assert.equal(binary(5, first, 0, 0, 0, 0, 0, 0, 0, 0), 'malformed_frame');
});

test('a name of meta comes once, as bytes', () => {
  // items, the first is 1, one of them; an event in channel a, without name, key and sender, and with no payload
  const meta = (...names: number[]) => {
    const event = [1, 1, 97, 1, 1, 0, 0, 0, names.length, ...names.flatMap((name) => [1, name, 0]), 0];
    return binary(12, 1, 1, event.length, ...event, 0);
  };
  assert.equal(meta(97, 98), undefined);
  assert.equal(meta(97, 97), 'duplicate_member');
});
