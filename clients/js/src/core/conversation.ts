/**
 * What the rooms of the conductor share: one session, however many links it takes.
 *
 * A plain object, and functions over it in files that tell one story each: `opening` links, probes and attempts; `down`
 * what frames mean; `up` what is said and when, `post` what goes up by requests of its own; `ending` how links and
 * sessions are lost; `wishes` what the application wants. Inputs only change what is known; `settle` of the core alone decides
 * what to say, so that news which comes together goes out in one message. `now` is the time of the input that is being
 * handled. Functions and not methods, for their names minify.
 */

import type { Limits, Offer, Subscribe, TransportName, UpFrame } from '../protocol.js';
import type { Guidance } from './backoff.js';
import type { CoreOptions } from './core.js';
import { Inbox } from './inbox.js';
import type { Link } from './link.js';
import { Negotiation } from './negotiation/negotiation.js';
import { Outbox, type Owner } from './outbox.js';
import type { Known, Outcome, Output } from './output.js';
import { Volatiles } from './volatile.js';

/** How far above the attaches of the page before this one begins. It may have made some since it was kept. */
const ATTACHES_BETWEEN_PAGES = 1_000_000;

/** Where the session stands with its links. */
export type Standing =
  /** No link; the next attempt is due at `untilMs`. */
  | 'waiting'
  /** A link is being opened. */
  | 'opening'
  /** A link carries the session. */
  | 'up'
  /** No link until there are new credentials. */
  | 'unauthorized'
  /** The goodbye is being said, until `untilMs`. */
  | 'closing'
  | 'closed';

/** A move to another transport that has to wait for its time. */
interface Planned {
  readonly atMs: number;
  readonly transport: TransportName;
  readonly ticket?: number;
}

export interface Conversation {
  readonly options: CoreOptions;
  readonly instance: string;
  now: number;
  readonly outputs: Output[];
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly volatiles: Volatiles;
  readonly negotiation: Negotiation;
  readonly links: Map<number, Link>;
  nextLink: number;
  /** The newest attached link: where things are said. The one before it may carry the session until it is confirmed. */
  active?: Link | undefined;
  known?: Known | undefined;
  auth: string | undefined;
  authExpiresAtMs: number;
  /** How long credentials last, as the gateway last said. */
  authExpiresInMs: number;
  guidance: Guidance;
  limits: Omit<Limits, 'subscriptions' | 'commandsPerSecond'>;
  heartbeatMs: number;
  offers: readonly Offer[];
  /** The last subscribe of each channel that was carried out: what a renewal repeats. */
  readonly wishes: Map<string, Subscribe>;
  /** L1: the newest attach number. */
  attach: number;
  /** L12: the attach number of the last welcome that was followed. */
  followed: number;
  positionsWanted?: boolean;
  slot?: string | undefined;
  standing: Standing;
  untilMs: number;
  /** Whether a poll without cookies was refused for good. */
  keepsCookies?: boolean;
  /** Why the session has no link, for a person. */
  reason: string;
  /** No link is wanted: there is no network, or the page is put aside. */
  paused?: 'offline' | 'frozen' | undefined;
  isHidden?: boolean;
  /** Whether this page had a link before. */
  wasUp?: boolean;
  /** Attempts since a link was up. */
  attempts: number;
  /** When the last one began. */
  attemptedMs: number;
  /** Links in a row that came up, achieved nothing, and were gone again. */
  strikes: number;
  /** Links in a row that did not last, and whose end said when to come back. */
  sentAway: number;
  /** Links in a row that the gateway closed for a broken protocol. */
  refusals: number;
  /** Whether the gateway said when to come back. */
  advised?: boolean;
  /** When the gateway said to come back, on a link beside which another was still being tried. */
  notBeforeMs: number;
  ackAtMs: number;
  planned?: Planned | undefined;
  /** When the last `settle` asked to be called again. */
  dueMs: number;
}

/** A session that has no link yet: its first attempt is due at once. */
export function begin(options: CoreOptions): Conversation {
  const { saved, auth, random, nowMs, wall } = options;
  const conversation: Conversation = {
    options,
    instance: Array.from({ length: 26 }, () => Math.floor(random() * 32).toString(32)).join(''),
    now: nowMs,
    outputs: [],
    inbox: new Inbox(),
    outbox: new Outbox(wall),
    volatiles: new Volatiles(),
    negotiation: new Negotiation(options),
    links: new Map(),
    nextLink: 1,
    auth,
    authExpiresAtMs: Infinity,
    authExpiresInMs: Infinity,
    guidance: { windowMs: 0, backoff: { baseMs: 250, capMs: 30_000 } },
    limits: {
      messageBytes: 65_536,
      commandsAhead: 64,
      unacknowledgedItems: 1_024,
      unacknowledgedBytes: 262_144,
    },
    heartbeatMs: 15_000,
    offers: [],
    wishes: new Map(),
    attach: 0,
    followed: 0,
    standing: options.needsAuth && auth === undefined ? 'unauthorized' : 'waiting',
    untilMs: nowMs,
    reason: 'unauthorized',
    attempts: 0,
    attemptedMs: -Infinity,
    strikes: 0,
    sentAway: 0,
    refusals: 0,
    notBeforeMs: -Infinity,
    ackAtMs: Infinity,
    dueMs: Infinity,
  };
  if (saved) {
    const { known, attach, after, unkept } = saved;
    conversation.known = known;
    conversation.attach = conversation.followed = attach + ATTACHES_BETWEEN_PAGES;
    // The page holds nothing: it is rebuilt without a channel, and its application begins each anew.
    conversation.positionsWanted = true;
    conversation.inbox.received = after;
    conversation.outbox.restore(saved, nowMs);
    for (const number of unkept) tell(conversation, -number, { kind: 'unknown' });
  }
  return conversation;
}

export const isOver = ({ standing }: Conversation): boolean => standing === 'closing' || standing === 'closed';

/** How the session stands from now on. A goodbye is not undone by what still comes while it is said. */
export function stand(c: Conversation, standing: Standing, untilMs = Infinity): void {
  if (isOver(c)) return;
  c.standing = standing;
  c.untilMs = untilMs;
}

/** Says a message on a duplex link. */
export function say(c: Conversation, link: Link, message: readonly UpFrame[], isVolatile = false): void {
  c.outputs.push({ do: 'transmit', link: link.key, message, isVolatile });
}

/** Tells one who waits, if the application does. */
export function tell(c: Conversation, owner: Owner | undefined, outcome: Outcome): void {
  if (typeof owner === 'number') c.outputs.push({ do: 'settle', ticket: owner, outcome });
}

/** Tells who waits for a move that it was not made. */
export function stay(c: Conversation, ticket: number | undefined, reason: string): void {
  tell(c, ticket, { kind: 'stayed', reason });
}

/** Plans a move, or none: whoever waits for the one before is told why. */
export function plan(c: Conversation, planned: Planned | undefined, reason = 'another move was asked for'): void {
  stay(c, c.planned?.ticket, reason);
  c.planned = planned;
}
