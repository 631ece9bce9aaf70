/** A link as far as negotiation sees it: how far it has come, how long it may take for that, and who is to blame for its end. */

import type { AttemptOutcome } from '../../protocol.js';
import type { Timing } from '../timing.js';
import { type Candidate, isPolling } from './candidates.js';

// How far a link has come.
/** It is being opened. */
export const BEGUN = 0;
/** Its handshake is done, and nothing said. */
export const OPENED = 1;
/** Its hello is said. */
export const GREETED = 2;
/** A welcome has come down it. */
export const WELCOMED = 3;
/** It carries the session, and that was confirmed. */
export const UP = 4;

export interface Use {
  readonly link: number;
  readonly candidate: Candidate;
  readonly sinceMs: number;
  /** Whether its hello attaches. */
  carries: boolean;
  reached: number;
  /** When it got there. */
  atMs: number;
  /** How long its handshake took. */
  handshakeMs: number;
  /** When something was last heard on it. */
  heardMs: number;
}

export function reach(used: Use, reached: number, nowMs: number): void {
  used.reached = reached;
  used.atMs = nowMs;
}

/** When the patience with a probe is over. */
export function expiresAt({ carries, reached, atMs }: Use, { probeMs, staggerMs }: Timing): number {
  // One that is opened waits for the session's token.
  if (carries || reached === OPENED || reached === UP) return Infinity;
  // Its transport gives up by itself after as long, and knows better why.
  return atMs + probeMs + (reached === BEGUN ? staggerMs : 0);
}

/** Until when a probe that is under way has the network to itself. */
export function busyUntil({ candidate, reached, atMs, handshakeMs }: Use, { staggerMs }: Timing): number {
  return reached < UP && !isPolling(candidate) ? atMs + Math.max(staggerMs, handshakeMs) : -Infinity;
}

/** What a probe ended with whose patience is over. */
export function expiry({ reached, candidate }: Use): AttemptOutcome {
  if (reached === BEGUN) return candidate.name === 'webtransport' ? 'blocked' : 'hung';
  return reached === WELCOMED ? 'buffered' : 'silent';
}

/** How a link that carried the session ended as another took its place, and why the session is on that one. */
export function replaced({ link, candidate }: Use, by: Candidate, isHedged: boolean, isAsked: boolean): Replaced {
  const { name } = candidate;
  if (isHedged) {
    return { link, outcome: 'silent', reason: 'what was due did not come, and a poll was answered', why: `${name} fell silent` };
  }
  if (isAsked) return { link, outcome: 'drained', reason: 'the gateway asked for the move', why: 'the gateway asked for it' };
  return { link, outcome: 'preferred', reason: 'another is preferred', why: by === candidate ? 'it took the place of a link before it' : `it is proven, and preferred to ${name}` };
}

interface Replaced {
  readonly link: number;
  readonly outcome: AttemptOutcome;
  readonly reason: string;
  readonly why: string;
}

/** Whether an end like this is held against its transport (docs/negotiation.md, Blame). */
export function isBlamed({ candidate, reached, carries }: Use, outcome: AttemptOutcome, isExcused: boolean): boolean {
  if (isPolling(candidate) || ['late', 'preferred', 'proven', 'unsupported'].includes(outcome)) return false;
  // Nor is what failed while nothing else worked; a probe that is sent away must wait all the same.
  if (reached !== UP) return !carries;
  // A gateway that stops is no fault of the transport. Excused is what broke after a long life, or had been idle for as long as it
  // would be left alone: somebody on the way cuts idle connections of every kind.
  return outcome === 'silent' || (outcome !== 'drained' && !isExcused);
}
