/** A frame that comes in pieces, gathered without looking at a byte twice. Internal to codecs. */

import { TOO_LARGE, fail } from './fault.js';
import { FRAME_BYTES } from './text.js';

export class Pieces {
  #pieces: Uint8Array[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Keeps a piece; refuses a frame that is too large before it does. */
  add(piece: Uint8Array): void {
    this.#size += piece.length;
    if (this.#size > FRAME_BYTES) fail(TOO_LARGE, 'frame');
    if (piece.length > 0) this.#pieces.push(piece);
  }

  /** All of it and its end, in one; what comes next is another frame. */
  take(end: Uint8Array): Uint8Array {
    if (this.#size === 0) return end;
    const whole = new Uint8Array(this.#size + end.length);
    let at = 0;
    for (const piece of [...this.#pieces, end]) {
      whole.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [];
    this.#size = 0;
    return whole;
  }
}
