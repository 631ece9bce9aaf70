/** The primitives of the binary codec, read: those of bincode 2 in its standard configuration. Internal to it. */

import { MALFORMED, fail } from './fault.js';
import { textOf } from './text.js';

/** How many bytes follow the first of an integer, where it does not say it alone. */
export const WIDTHS: Readonly<Record<number, number>> = { 251: 2, 252: 4, 253: 8 };

/** Reads from the front of some bytes. What they do not have is malformed. */
export class Reader {
  #at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? fail(MALFORMED, 'it ends too early');
  }

  flag(): boolean {
    const byte = this.byte();
    return byte > 1 ? fail(MALFORMED, 'a flag') : byte === 1;
  }

  /** One of any width: a sender should take the shortest, and need not have. */
  integer(): number {
    const first = this.byte();
    if (first < 251) return first;
    let left = WIDTHS[first] ?? fail(MALFORMED, 'an integer');
    let value = 0;
    for (let unit = 1; left > 0; left--, unit *= 256) value += this.byte() * unit;
    // Above 2^53 the sum is rounded, and stays above it.
    return Number.isSafeInteger(value) ? value : fail('number_out_of_range');
  }

  take(length: number): Uint8Array {
    if (length > this.left) fail(MALFORMED, 'a length is beyond what contains it');
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  /** Bytes behind their length. */
  block(): Uint8Array {
    return this.take(this.integer());
  }

  text(): string {
    return textOf(this.block());
  }
}
