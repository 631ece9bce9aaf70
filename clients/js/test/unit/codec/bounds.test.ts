/** What a receiver keeps of a message is bounded, whatever the message says of itself. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import { json } from '../../../src/codec/json.js';
import { lines } from '../../../src/codec/lines.js';

const MIB = 1 << 20;
const encode = (text: string) => new TextEncoder().encode(text);
const padded = (bytes: number) => {
  const frame = '{"type":"ack","upTo":1,"later":""}';
  return frame.replace('""', `"${'x'.repeat(bytes - frame.length)}"`);
};

test('a frame of 1 MiB is taken, and one of a byte more is refused, as text', () => {
  assert.equal(json().decode(`${padded(MIB)}\n`).frames.length, 1);
  assert.equal(json().decode(padded(MIB + 1)).fault?.code, 'message_too_large');
});

test('the size of a frame is counted in bytes and not in letters', () => {
  const text = padded(MIB).replaceAll('xx', 'é');
  assert.equal(json().decode(text).fault, undefined);
  assert.equal(json().decode(text.replace('é', 'éé')).fault?.code, 'message_too_large');
});

test('the frames before one that is too large stand', () => {
  const { frames, fault } = json().decode(`{"type":"ping"}\n${padded(MIB + 1)}\n{"type":"pong"}`);
  assert.deepEqual(frames, [{ type: 'ping' }]);
  assert.equal(fault?.code, 'message_too_large');
});

test('a length above 1 MiB is refused before there is anything behind it', () => {
  const head = Uint8Array.of(252, 1, 0, 16, 0);
  assert.equal(bincode().decode(head).fault?.code, 'message_too_large');
  assert.equal(bincode().splitter?.().push(head).fault?.code, 'message_too_large');
});

test('a line that does not end is given up at 1 MiB', () => {
  const splitter = lines(json());
  const piece = new Uint8Array(MIB / 4).fill(32);
  for (let quarter = 0; quarter < 4; quarter++) assert.equal(splitter.push(piece).fault, undefined);
  assert.equal(splitter.push(Uint8Array.of(32)).fault?.code, 'message_too_large');
});

test('the frames of a piece whose last line is too long stand', () => {
  const { frames, fault } = lines(json()).push(encode(`{"type":"ping"}\n${' '.repeat(MIB + 1)}`));
  assert.deepEqual(frames, [{ type: 'ping' }]);
  assert.equal(fault?.code, 'message_too_large');
});

test('4,096 items are taken, and one more is refused', () => {
  const items = (count: number) => `{"type":"items","first":1,"items":[${Array(count).fill('{"type":"later"}').join()}]}`;
  assert.equal(json().decode(items(4_096)).fault, undefined);
  assert.equal(json().decode(items(4_097)).fault?.code, 'message_too_large');
});

test('a count above 4,096 is refused though nothing follows it', () => {
  // items, first 1, 4,097 of them
  assert.equal(bincode().decode(Uint8Array.of(5, 12, 1, 251, 1, 16)).fault?.code, 'message_too_large');
});

test('bytes that are no UTF-8 are no text', () => {
  assert.equal(json().decode(Uint8Array.of(0xff)).fault?.code, 'not_utf8');
});

test('half of a surrogate pair is found wherever it hides, and what only looks like one is not', () => {
  const said = (data: string) => json().decode(`{"type":"volatile","channel":"a","time":1,"seq":1,"data":${data}}`).fault?.code;
  for (const half of ['"\\ud800"', '"\\uDC00"', '{"\\ud83d":1}', '["\\ud83dx"]', '"\\\\\\ud800"']) {
    assert.equal(said(half), 'lone_surrogate', half);
  }
  for (const whole of ['"\\ud83d\\ude00"', '"\\\\ud800"', '"\\\\\\\\ud800"', '"\\ud7ff"', '"😀"']) {
    assert.equal(said(whole), undefined, whole);
  }
});
