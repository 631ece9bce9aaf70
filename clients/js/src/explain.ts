/** Why a session runs on what it runs on: as data, and as a sentence for a person. */

import type { Clock } from './clock.js';
import type { CoreLike } from './core/core.js';
import type { AttemptOutcome, Offer, TransportName } from './protocol.js';
import type { SessionState } from './session.js';
import { withoutCredentials } from './transports/address.js';
import type { Transport } from './transports/transport.js';

/** One use of a transport that came to an end, or to its proof. */
export interface TriedTransport {
  readonly transport: TransportName;
  /** docs/protocol.md, Outcomes. */
  readonly outcome: AttemptOutcome;
  /** Why, for a person. */
  readonly reason: string;
  /** How long it took to that end. */
  readonly tookMs: number;
  /** How long ago that end was. */
  readonly agoMs: number;
  /** In how long it is tried again; absent where it works, and where nobody tries it. */
  readonly againInMs?: number;
}

/** What `Session.explain` tells. As text it is a sentence or two for a person. */
export interface Explanation {
  /** What carries the session now. */
  readonly transport: TransportName | undefined;
  /** The name of what the link speaks, or without one of what is asked for. */
  readonly codec: string;
  /** Why that one. */
  readonly why: string;
  readonly state: SessionState;
  /** What was tried lately, oldest first. */
  readonly attempts: readonly TriedTransport[];
  /** What the gateway offers, as far as known. */
  readonly offers: readonly Offer[];
  /** Whether a reload keeps the session, and why not. */
  readonly kept: string;
  toString(): string;
}

/** `core` is absent until the session has begun. */
export function explain(
  core: CoreLike | undefined,
  state: SessionState,
  clock: Clock,
  transports: readonly Transport[],
  codec: string,
  kept: string,
): Explanation {
  const nowMs = clock.now();
  const attempts = (core?.history ?? []).map(({ atMs, ...attempt }) => {
    const againInMs = (core?.notBefore(attempt.transport) ?? 0) - nowMs;
    return { ...attempt, agoMs: nowMs - atMs, ...(againInMs > 0 && { againInMs }) };
  });
  const transport = state.name === 'live' ? state.transport : undefined;
  const why = core?.why ?? '';
  const names = transports.map(({ name }) => name);
  return {
    transport,
    codec,
    why,
    state,
    attempts,
    offers: core?.offers.map((offer) => ({ ...offer, ...(offer.url !== undefined && { url: withoutCredentials(offer.url) }) })) ?? [],
    kept,
    toString() {
      if (state.name === 'closed') return `closed: ${state.reason === 'closed' ? 'the application closed it' : state.reason}`;
      // What would be preferred, and what became of it last.
      const better = transport ? names.slice(0, names.indexOf(transport)) : names;
      const failed = better
        .flatMap((name) => attempts.filter((attempt) => attempt.transport === name && attempt.outcome !== 'preferred').slice(-1))
        .filter(({ outcome }) => outcome !== 'proven')
        .map(told);
      // Who asked for it had a reason of its own.
      if (transport) return `${transport}, because ${/asked/.test(why) ? why : failed.join(', and ') || why}`;
      const { name } = state;
      const reason = 'reason' in state ? ` (${state.reason})` : '';
      const next = 'retryAt' in state ? `, again ${soon(state.retryAt - clock.wall())}` : '';
      return [`${name}${reason}${next}`, ...failed].join('; ');
    },
  };
}

/** "websocket was refused with status 403 12 s ago and is tried again in 8 s". */
function told({ transport, outcome, reason, agoMs, againInMs }: TriedTransport): string {
  if (outcome === 'unsupported') return `${transport} cannot be had (${reason})`;
  const how = reason.startsWith(outcome) ? reason : `${outcome} (${reason})`;
  return `${transport} was ${how} ${seconds(agoMs)} ago${againInMs === undefined ? '' : ` and is tried again ${soon(againInMs)}`}`;
}

function soon(ms: number): string {
  return ms < 500 ? 'now' : `in ${seconds(ms)}`;
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1_000))} s`;
}
