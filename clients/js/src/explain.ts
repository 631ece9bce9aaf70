/** Why a session runs on what it runs on. */

import type { AttemptOutcome, Offer, TransportName } from './protocol.js';
import type { SessionState } from './session.js';

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
}

/** What `Session.explain` tells. As text it is a sentence or two for a person. */
export interface Explanation {
  /** What carries the session now. */
  readonly transport: TransportName | undefined;
  readonly codec: string;
  /** Why that one. */
  readonly why: string;
  readonly state: SessionState;
  /** What was tried lately, oldest first. */
  readonly attempts: readonly TriedTransport[];
  /** What the gateway offers, as far as known. */
  readonly offers: readonly Offer[];
  toString(): string;
}
