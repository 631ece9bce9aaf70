/** The text codec against the vectors: what comes down is read, what goes up is written. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { json } from '../../src/codec/json.js';
import { canonical, rewritten } from './canonical.js';
import { framesOf, isText, unhex, vectors } from './files.js';

const codec = json();

for (const file of ['frames-down', 'items']) {
  describe(`${file}, text`, () => {
    for (const { name, text = '' } of vectors(file, 'down')) {
      test(name, () => {
        for (const message of [text, new TextEncoder().encode(text)]) {
          const { frames, fault } = codec.decode(message);
          assert.equal(fault, undefined);
          assert.equal(canonical(frames), rewritten(text));
        }
      });
    }
  });
}

for (const file of ['frames-up', 'commands']) {
  describe(`${file}, text`, () => {
    for (const { name, text = '' } of vectors(file, 'up')) {
      test(name, () => assert.equal(codec.encode(framesOf(text)), rewritten(text)));
    }
  });
}

describe('accepted, text', () => {
  for (const { name, text, textHex, means = '' } of vectors('accepted', 'down').filter(isText)) {
    test(name, () => {
      const { frames, fault } = codec.decode(text ?? unhex(textHex ?? ''));
      assert.equal(fault, undefined);
      assert.equal(canonical(frames), rewritten(means));
    });
  }
});

describe('invalid, text', () => {
  for (const { name, text, textHex, before = '', error, limits } of vectors('invalid', 'down').filter(isText)) {
    assert.equal(limits, undefined, 'this client has no limits to lower');
    test(name, () => {
      const { frames, fault } = codec.decode(text ?? unhex(textHex ?? ''));
      assert.equal(fault?.code, error);
      assert.equal(canonical(frames), rewritten(before));
    });
  }
});
