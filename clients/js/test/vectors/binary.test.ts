/** The binary codec against the vectors, and against the text codec: both give the same frames. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { bincode } from '../../src/bincode.js';
import { json } from '../../src/codec/json.js';
import { canonical, rewritten } from './canonical.js';
import { framesOf, isText, unhex, vectors } from './files.js';
import { shuffled } from './shuffled.js';

const codec = bincode();

for (const file of ['frames-down', 'items']) {
  describe(`${file}, binary`, () => {
    for (const { name, text = '', binary = '' } of vectors(file, 'down')) {
      test(name, () => {
        const decoded = codec.decode(unhex(binary));
        assert.deepEqual(decoded, json().decode(text));
        assert.equal(canonical(decoded.frames), rewritten(text));
      });
    }
  });
}

for (const file of ['frames-up', 'commands']) {
  describe(`${file}, binary`, () => {
    for (const { name, text = '', binary } of vectors(file, 'up')) {
      test(name, () => {
        // Whoever makes a frame need not know the order of the table.
        const frames = framesOf(text).map(shuffled);
        assert.equal(Buffer.from(codec.encode(frames)).toString('hex'), binary);
      });
    }
  });
}

const binaries = (file: string) => vectors(file, 'down').filter((vector) => !isText(vector));

describe('accepted, binary', () => {
  for (const { name, binary = '', means = '' } of binaries('accepted')) {
    test(name, () => {
      const { frames, fault } = codec.decode(unhex(binary));
      assert.equal(fault, undefined);
      assert.equal(canonical(frames), rewritten(means));
    });
  }
});

describe('invalid, binary', () => {
  for (const { name, binary = '', before = '', error } of binaries('invalid')) {
    test(name, () => {
      const { frames, fault } = codec.decode(unhex(binary));
      assert.equal(fault?.code, error);
      assert.equal(canonical(frames), rewritten(before));
    });
  }
});
