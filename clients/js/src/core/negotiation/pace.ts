/**
 * How fast this network is, and so how long a sign may take before it is late.
 *
 * The round trip is measured where something is answered at once, and smoothed as TCP does it (RFC 6298). On a fast
 * network the configured times count; on a slow one they stretch, so that a link which only takes its time is not taken
 * for one that is dead. docs/negotiation.md, Times.
 */

import type { Timing } from '../timing.js';

/** The longest that a slow network stretches anything. */
const LONGEST_MS = 5_000;

/** The round trip, as measured so far. */
export class Pace {
  #smoothedMs: number | undefined;
  #variationMs = 0;

  /**
   * Something was answered at once, after this time; an upper bound, where a new connection may be in it. A shorter time
   * counts as it is: nothing makes an answer come too early, but a page that is busy makes it late.
   */
  measure(tookMs: number, isExact = true): void {
    const smoothed = this.#smoothedMs;
    if (smoothed === undefined || tookMs < smoothed) {
      this.#smoothedMs = tookMs;
      this.#variationMs = tookMs / 2;
    } else if (isExact) {
      this.#variationMs = (3 * this.#variationMs + tookMs - smoothed) / 4;
      this.#smoothedMs = (7 * smoothed + tookMs) / 8;
    }
  }

  /** How long after it was due a sign is late, and the link is asked for one. */
  late({ doubtMs }: Timing): number {
    return this.#stretched(doubtMs);
  }

  /** How long a link that was asked has to answer before it is hedged. */
  patience({ pongMs }: Timing): number {
    return this.#stretched(pongMs);
  }

  /** How long a new connection may take to bring something, before another way is tried beside it. */
  silence(leastMs: number): number {
    // Connection, handshake and hello are three round trips.
    return Math.max(leastMs, Math.min(3 * (this.#smoothedMs ?? 0), LONGEST_MS));
  }

  #stretched(leastMs: number): number {
    const smoothed = this.#smoothedMs ?? 0;
    return Math.max(leastMs, Math.min(Math.max(smoothed + 4 * this.#variationMs, 1.5 * smoothed), LONGEST_MS));
  }
}
