/** How fresh a channel is, from what is known of it: a table, so that it can be read as one. */

import type { Freshness } from './channel.js';
import type { Snapshots } from './snapshot.js';

/** Gives `before` itself where nothing has changed. `isCarried`: a link carries the session, and the subscription stands in it. */
export function freshness(
  before: Freshness & { reason?: string; error?: unknown },
  hasEnded: boolean,
  isCarried: boolean,
  { hasTold, trouble, error }: Pick<Snapshots, 'hasTold' | 'trouble' | 'error'>,
  wallMs: number,
): Freshness {
  const why = error === undefined || hasEnded ? {} : { error };
  const reason = hasEnded ? 'ended' : isCarried ? trouble : 'recovering';
  const sinceMs = before.name === 'stale' ? before.sinceMs : wallMs;
  const now: typeof before =
    !hasTold && !hasEnded ? { name: 'loading', ...why } : reason ? { name: 'stale', sinceMs, reason, ...why } : { name: 'live' };
  return (['name', 'reason', 'error'] as const).every((member) => before[member] === now[member]) ? before : now;
}
