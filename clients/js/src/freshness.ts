/** How fresh a channel is, from what is known of it: a table, so that it can be read as one. */

import type { Freshness } from './channel.js';

export interface FreshnessFacts {
  readonly hasEnded: boolean;
  /** Whether there is something to show: a snapshot where there is one to come, the subscription otherwise. */
  readonly isFilled: boolean;
  /** Whether a link carries the session, and the subscription stands in it. */
  readonly isCarried: boolean;
  readonly trouble: 'gap' | 'snapshot' | undefined;
  /** What the last snapshot threw. */
  readonly error: unknown;
  readonly wallMs: number;
}

/** Gives `before` itself where nothing has changed. */
export function freshness(before: Freshness, facts: FreshnessFacts): Freshness {
  const { hasEnded, isFilled, isCarried, trouble } = facts;
  const error = facts.error === undefined || hasEnded ? {} : { error: facts.error };
  const reason = hasEnded ? 'ended' : !isCarried ? 'recovering' : trouble;
  const sinceMs = before.name === 'stale' ? before.sinceMs : facts.wallMs;
  const now: Freshness =
    !isFilled && !hasEnded ? { name: 'loading', ...error } : reason ? { name: 'stale', sinceMs, reason, ...error } : { name: 'live' };
  return isSame(before, now) ? before : now;
}

function isSame(a: { name: string; reason?: string; error?: unknown }, b: { name: string; reason?: string; error?: unknown }): boolean {
  return a.name === b.name && a.reason === b.reason && a.error === b.error;
}
