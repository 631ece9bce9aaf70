/**
 * What was tried, and how it went: for the application, which can look back on it, and for the gateway, which is told once
 * (docs/protocol.md, Telling how it went).
 */

import type { AttemptOutcome, TransportName, Tried } from '../../protocol.js';
import type { Attempt } from '../output.js';

/** How many attempts an application can look back on. */
const KEPT = 32;

/** How many wait to be told; past it the oldest are not. */
const UNTOLD = 16;

export class History {
  #attempts: readonly Attempt[] = [];
  #untold = 0;

  /** All that is kept, oldest first. A new array whenever something is noted. */
  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  /** Notes how an attempt went. */
  note(nowMs: number, transport: TransportName, outcome: AttemptOutcome, tookMs: number, reason: string): void {
    this.#attempts = [...this.#attempts, { transport, outcome, reason, tookMs, atMs: nowMs }].slice(-KEPT);
    this.#untold = Math.min(this.#untold + 1, UNTOLD);
  }

  /** Whether the gateway has not heard of something. */
  get hasUntold(): boolean {
    return this.#untold > 0;
  }

  /** What the gateway has not heard of; it is told once. */
  tell(nowMs: number): Tried[] {
    const untold = this.#untold ? this.#attempts.slice(-this.#untold) : [];
    this.#untold = 0;
    return untold.map(({ transport, outcome, tookMs, atMs }) => ({
      type: 'tried',
      transport,
      outcome,
      tookMs: whole(tookMs),
      agoMs: whole(nowMs - atMs),
    }));
  }
}

/** A duration as the wire has it. */
function whole(ms: number): number {
  return Math.max(0, Math.round(ms));
}
