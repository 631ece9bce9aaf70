/**
 * When to come back: at a random place in the window that the gateway asked for, and from then on once a window; backoff with
 * full jitter where that is longer (docs/protocol.md, Without advice).
 */

import type { Random } from '../clock.js';
import type { Backoff } from '../protocol.js';

/** The longest that any wait from the network is believed: a client told more asks again by then. */
export const LONGEST_MS = 3_600_000;

/** What the gateway last said about coming back. */
export interface Guidance {
  /** Over how long clients that lost this gateway spread their first attempt. */
  windowMs: number;
  /** How later attempts back off. */
  backoff: Backoff;
}

/** How long attempt `attempt` (from 1) waits, where the one before began `agoMs` ago. */
export function nextWaitMs({ windowMs, backoff }: Guidance, attempt: number, agoMs: number, random: Random): number {
  if (attempt < 2) return appointmentMs(0, windowMs, random);
  const boundMs = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt - 2, 60));
  return Math.max(appointmentMs(0, boundMs, random), Math.min(windowMs, LONGEST_MS) - agoMs);
}

/** How often in a row advice to come back is obeyed as it is, though no link has lasted. */
const OBEYED = 4;

/** The least that a client waits that is sent away for the `time`th time since a link lasted, whatever it is told. */
export function leastWaitMs(time: number, random: Random): number {
  return time > OBEYED ? appointmentMs(0, Math.min(30_000, 250 * 2 ** (time - OBEYED - 1)), random) : 0;
}

/** `delayMs` and a random part of `spreadMs`, as a `retry` or a `migrate` says. */
export function appointmentMs(delayMs: number, spreadMs: number, random: Random): number {
  return Math.min(delayMs, LONGEST_MS) + Math.floor(random() * (Math.min(spreadMs, LONGEST_MS) + 1));
}
