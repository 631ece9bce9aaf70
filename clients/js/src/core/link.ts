/** What is known of one link. Times that are not set are `Infinity`: nothing is due; what is not said of it is not so. */

import type { Positions, TransportName } from '../protocol.js';

/** What a `hello` said of the session (N4 asks whether it moved since). */
export interface Stated {
  /** Whether it named a session at all. */
  readonly resume: boolean;
  /** The incarnation that the link's numbers are in; that of its welcome, once there is one. */
  incarnation: number;
  readonly after: number;
  readonly low: number;
  readonly positions: Positions | undefined;
  /** The last command that travelled behind it. */
  commands: number;
}

/** A poll that has no answer yet. */
export interface Poll {
  readonly attach: number;
  sinceMs: number;
  /** When it is given up. */
  untilMs: number;
}

/** A post that has no answer yet, and what it said: all of it is said again until an answer confirms it (L6). */
export interface Post {
  readonly id: number;
  readonly sinceMs: number;
  untilMs: number;
  readonly ack?: { readonly upTo: number; readonly bytes: number } | undefined;
  readonly commands?: boolean;
  readonly pong?: number | undefined;
  readonly attach?: boolean;
  readonly bye?: boolean;
}

export interface Link {
  readonly key: number;
  readonly transport: TransportName;
  readonly isDuplex: boolean;
  readonly isPolling: boolean;
  /** Whether its hello attaches: it is wanted as the link of the session, not beside it. */
  carries: boolean;
  /** Whether its hello is said; until then a duplex link only has its handshake. */
  greeted?: boolean;
  /** L10: a probe, welcomed, that waits for its nonce. */
  probing?: boolean;
  /** It carries items, commands and acknowledgements. */
  attached?: boolean;
  /** Whether something came down since its attach. */
  confirmed?: boolean;
  /** Whether it moved the session: an item or an acknowledgement that was news. */
  useful?: boolean;
  /** L1: the number of its latest attach; 0 on a probe. */
  attach: number;
  stated: Stated;
  /** Its name within the session (`welcome.link`). */
  name: number;
  /** L5: the last item acknowledged on this link, and the bytes taken by then. */
  acked: number;
  ackedBytes: number;
  /** The last command said on this link, where it is duplex. */
  said: number;
  readonly sinceMs: number;
  heardMs: number;
  /** When it is given up unless it is welcomed. */
  untilMs: number;
  /** A fatal error that the gateway reported; its advice, and the end, follow. */
  fault?: string | undefined;
  /** Whether that was the reply of a command: it is not said again, so what follows is no refusal of this client. */
  isAnswered?: boolean;
  /** When it was asked for a sign of life, unless one came since. */
  pingedMs: number;
  /** When the first of the pings was said that have no answer: that measures the round trip. `-Infinity` where it would not. */
  askedMs: number;
  /** Whether it has to show that it lives on another network than before. */
  moved?: boolean;
  /** How often the page woke late since something was heard. */
  wakes: number;
  /** How often in a row it was asked while the same command had no reply. */
  doubts: number;
  poll?: Poll | undefined;
  /** The appointment that its polls state until one is answered. */
  slot?: string | undefined;
  /** When the last poll went out, and whether its answer brought anything. */
  polledMs: number;
  hasNews: boolean;
  pollNotBeforeMs: number;
  /** The last answer asked for another poll, so it proves nothing. */
  retrying?: boolean;
  /** Polls in a row that were given up. */
  latePolls: number;
  /** Polls in a row that were hedged by another: each waits twice as long as the one before. */
  hedgedPolls: number;
  /** Whether its requests go without cookies: a browser keeps connections of their own for those. */
  isBare?: boolean;
  /** Answers in a row that brought nothing though they came at once. */
  idleAnswers: number;
  post?: Post | undefined;
  nextPost: number;
  /** Posts in a row that failed or achieved nothing. */
  failedPosts: number;
  postNotBeforeMs: number;
  /** A sign of life to ask for by a post. */
  pings: boolean;
  /** A nonce to answer by a post. */
  pong?: number | undefined;
  /** L10: its `attach` still has to be confirmed by a post. */
  attaches: boolean;
  /** Who waits for it to take over. */
  ticket?: number | undefined;
}

/** A hello that names no session. */
export const nothingStated = (): Stated => ({ resume: false, incarnation: 0, after: 0, low: 1, positions: undefined, commands: 0 });

/** Pings that have no answer measure nothing any more. */
export function forgetAsked(link: Link): void {
  if (link.askedMs < Infinity) link.askedMs = -Infinity;
}

export function newLink(key: number, transport: TransportName, isDuplex: boolean, nowMs: number): Link {
  return {
    key,
    transport,
    isDuplex,
    isPolling: transport === 'polling',
    carries: false,
    attach: 0,
    stated: nothingStated(),
    name: 0,
    acked: 0,
    ackedBytes: 0,
    said: 0,
    sinceMs: nowMs,
    heardMs: nowMs,
    untilMs: Infinity,
    pingedMs: Infinity,
    askedMs: Infinity,
    wakes: 0,
    doubts: 0,
    polledMs: nowMs,
    hasNews: false,
    pollNotBeforeMs: 0,
    latePolls: 0,
    hedgedPolls: 0,
    idleAnswers: 0,
    nextPost: 0,
    failedPosts: 0,
    postNotBeforeMs: 0,
    pings: false,
    attaches: false,
  };
}
