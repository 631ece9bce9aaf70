/** A round of opening: who leads, and when a poll joins. What the round decides is in negotiation.ts. */

import type { Candidate, Candidates } from './candidates.js';

/** A round in which no link carries the session yet. */
export interface Opening {
  /** Nothing is known: a poll at once, and everything better raced beside it. Otherwise one leads. */
  readonly isCold: boolean;
  /** How long the lead may be silent before a poll joins it; `Infinity` where none does. */
  readonly joinMs: number;
  /** The poll does not even wait for that once the lead has failed. Whoever comes back does so one link at a time, as the gateway asks. */
  readonly joinsFailed: boolean;
  lead: Candidate | undefined;
  hasJoined: boolean;
  quietSinceMs: number;
}

/**
 * The lead where somebody comes back: what the gateway asked for or the session last ran on, and a poll, in turn: an event stream
 * costs two connections, and gets through nowhere that a poll does not. Without either of the two it is the list, one per attempt.
 */
export function nextInTurn(candidates: Candidates, negotiates: boolean, carried: Candidate | undefined, rotation: number): Candidate | undefined {
  const polling = negotiates ? candidates.polling() : undefined;
  const first = negotiates && carried?.failures ? undefined : carried;
  const turns = new Set([first, polling, ...(first && polling ? [] : candidates.order())]);
  turns.delete(undefined);
  return [...turns][rotation % turns.size];
}
