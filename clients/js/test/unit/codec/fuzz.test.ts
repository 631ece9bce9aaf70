/** Nothing that a gateway sends throws, and what is taken keeps to its types. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import type { Codec, Decoded } from '../../../src/codec/codec.js';
import { json } from '../../../src/codec/json.js';
import { lines } from '../../../src/codec/lines.js';
import { errorCodes } from '../../../src/codes.js';
import { canonical } from '../../vectors/canonical.js';
import { unhex, vectors } from '../../vectors/files.js';

const ROUNDS = 2_000;

/** The same numbers every time: mulberry32. */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const down = ['frames-down', 'items', 'accepted'].flatMap((file) => vectors(file, 'down'));
const seeds: Readonly<Record<Codec['name'], readonly Uint8Array[]>> = {
  'throughline.v1.json': down.flatMap(({ text }) => (text === undefined ? [] : [new TextEncoder().encode(text)])),
  'throughline.v1.bincode': down.flatMap(({ binary }) => (binary === undefined ? [] : [unhex(binary)])),
};

/** One to three bytes of a message changed, left out, or put in. */
function mutated(message: Uint8Array, below: (below: number) => number): Uint8Array {
  const bytes = [...message];
  for (let left = 1 + below(3); left > 0; left--) {
    const at = below(bytes.length + 1);
    bytes.splice(at, below(2), ...(below(3) === 0 ? [] : [below(4) === 0 ? 0xff - below(6) : below(256)]));
  }
  return Uint8Array.from(bytes);
}

/** A fault has a code of the protocol; a frame can be written again by the tables. */
function isSound({ frames, fault }: Decoded): void {
  if (fault) assert.ok(fault.code in errorCodes, fault.code);
  canonical(frames);
}

for (const codec of [json(), bincode()]) {
  test(`${codec.name}: random bytes are read without an exception`, () => {
    const below = random(1);
    for (let round = 0; round < ROUNDS; round++) {
      isSound(codec.decode(Uint8Array.from({ length: below(64) }, () => below(256))));
    }
  });

  test(`${codec.name}: mutated messages are read without an exception, and most are refused`, () => {
    const below = random(2);
    const messages = seeds[codec.name];
    let refused = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const decoded = codec.decode(mutated(messages[below(messages.length)] ?? new Uint8Array(), below));
      isSound(decoded);
      if (decoded.fault) refused += 1;
    }
    assert.ok(refused > ROUNDS / 4 && refused < ROUNDS, `${refused} of ${ROUNDS} were refused`);
  });

  test(`${codec.name}: a stream is read the same wherever it is cut`, () => {
    const below = random(3);
    const messages = seeds[codec.name];
    for (let round = 0; round < ROUNDS / 10; round++) {
      const whole = Buffer.concat(Array.from({ length: 4 }, () => messages[below(messages.length)] ?? new Uint8Array()));
      const splitter = codec.splitter?.() ?? lines(codec);
      const frames = [];
      for (let at = 0; at < whole.length; ) {
        const end = at + below(2) * below(40) + 1;
        const decoded = splitter.push(whole.subarray(at, end));
        assert.equal(decoded.fault, undefined);
        frames.push(...decoded.frames);
        at = end;
      }
      assert.deepEqual(frames, codec.decode(whole).frames);
    }
  });

  test(`${codec.name}: a mutated stream is read without an exception until its fault`, () => {
    const below = random(4);
    const messages = seeds[codec.name];
    for (let round = 0; round < ROUNDS / 4; round++) {
      const splitter = codec.splitter?.() ?? lines(codec);
      const bytes = mutated(messages[below(messages.length)] ?? new Uint8Array(), below);
      for (let at = 0; at < bytes.length; at += 7) {
        const decoded = splitter.push(bytes.subarray(at, at + 7));
        isSound(decoded);
        if (decoded.fault) break;
      }
    }
  });
}
