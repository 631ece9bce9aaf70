/** When to come back: full jitter, never tighter than the window that the gateway asked for (docs/protocol.md, Coming back later). */

import type { Random } from '../clock.js';
import type { Backoff } from '../protocol.js';

/** The longest that any wait from the network is believed: a client told more asks again by then. */
const LONGEST_MS = 3_600_000;

/** What the gateway last said about coming back. */
export interface Guidance {
  /** Over how long clients that lost this gateway spread their first attempt. */
  windowMs: number;
  /** How later attempts back off. */
  backoff: Backoff;
}

/** The longest that attempt `attempt` (from 1) may wait. */
export function boundMs({ windowMs, backoff }: Guidance, attempt: number): number {
  const doubled = attempt > 1 ? backoff.baseMs * 2 ** Math.min(attempt - 2, 60) : 0;
  return Math.min(LONGEST_MS, Math.max(windowMs, Math.min(backoff.capMs, doubled)));
}

/** `delayMs` and a random part of `spreadMs`, as a `retry` or a `migrate` says. */
export function appointmentMs(delayMs: number, spreadMs: number, random: Random): number {
  return Math.min(delayMs, LONGEST_MS) + Math.floor(random() * (Math.min(spreadMs, LONGEST_MS) + 1));
}
