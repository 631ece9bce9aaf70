/** What the core wants done, what it tells, and what it has to be kept over a reload: the words between it and its driver. */

import type {
  AttemptOutcome,
  Command,
  Event,
  Gap,
  Offer,
  Payload,
  Position,
  Presence,
  ReplyError,
  Subscribed,
  TransportName,
  Unsubscribed,
  UpFrame,
  VolatileDown,
} from '../protocol.js';

/** One thing to do. Links, tickets and posts are named by numbers. */
export type Output =
  | { readonly do: 'open'; readonly link: number; readonly transport: TransportName; readonly offer: Offer | undefined; readonly hello: readonly UpFrame[] }
  | { readonly do: 'poll'; readonly link: number; readonly attach: number; readonly message: readonly UpFrame[]; readonly isBare: boolean }
  | { readonly do: 'post'; readonly link: number; readonly post: number; readonly message: readonly UpFrame[] }
  | { readonly do: 'transmit'; readonly link: number; readonly message: readonly UpFrame[]; readonly isVolatile: boolean }
  | { readonly do: 'close'; readonly link: number; readonly inPeace: boolean }
  /** Remember what worked with this gateway for a day, or forget it. */
  | { readonly do: 'remember'; readonly verdict: Verdict | undefined }
  /** Tell who waits for a ticket. */
  | { readonly do: 'settle'; readonly ticket: number; readonly outcome: Outcome };

/** What came of something that the application waits for. */
export type Outcome =
  | { readonly kind: 'accepted'; readonly reply: Payload & { readonly position?: Position } }
  | { readonly kind: 'subscribed'; readonly subscribed: Subscribed }
  | { readonly kind: 'unsubscribed' }
  | { readonly kind: 'rejected'; readonly error: ReplyError }
  /** C6: sent, and its session is lost. */
  | { readonly kind: 'unknown' }
  /** The session is closed. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'migrated' }
  /** The move was not made: why, for a person. */
  | { readonly kind: 'stayed'; readonly reason: string };

/** What the application hears, in order. Items have their number; what has none is no item. */
export type Incoming =
  | { readonly hear: 'event'; readonly number: number; readonly epoch: string | undefined; readonly item: Event }
  | { readonly hear: 'gap'; readonly number: number; readonly item: Gap }
  | { readonly hear: 'presence'; readonly number: number; readonly item: Presence }
  | { readonly hear: 'subscribed'; readonly number: number; readonly item: Subscribed }
  /** Without a number where a subscription could not be renewed after its session was lost. */
  | { readonly hear: 'unsubscribed'; readonly number?: number; readonly item: Unsubscribed; readonly error?: ReplyError }
  /** It takes part in a channel no longer: it was asked for again, and refused. The channel goes on. */
  | { readonly hear: 'presenceLost'; readonly item: { readonly channel: string }; readonly error: ReplyError }
  | { readonly hear: 'volatile'; readonly item: VolatileDown }
  /** A session stands on this link: whether it is the one before. */
  | { readonly hear: 'up'; readonly session: string; readonly isResumed: boolean }
  /** The session is lost; unless `isFinal`, a new one takes its place. */
  | { readonly hear: 'lost'; readonly reason: string; readonly isFinal: boolean };

/** What the gateway calls this session. */
export interface Known {
  readonly session: string;
  readonly token: string;
  readonly incarnation: number;
  /** Whose session it is, where somebody was authenticated. */
  readonly user?: string | undefined;
}

/** How the session stands, for the application (`session.state`). */
export type CoreState =
  /** A link is being opened, for the first time. */
  | { readonly name: 'connecting'; readonly attempt: number }
  /** A link carries the session. */
  | { readonly name: 'live'; readonly transport: TransportName }
  /** The link is lost, and another is being opened. */
  | { readonly name: 'recovering'; readonly reason: string; readonly attempt: number }
  /** No link until `retryAtMs` (of the driver's clock, `Clock.now`); without one, until there are new credentials. */
  | { readonly name: 'waiting'; readonly reason: string; readonly attempt: number; readonly retryAtMs: number | undefined }
  /** Over, for good. */
  | { readonly name: 'closed'; readonly reason: string };

/** One use of a transport that came to an end, or to its proof. */
export interface Attempt {
  readonly transport: TransportName;
  readonly outcome: AttemptOutcome;
  /** Why, for a person. */
  readonly reason: string;
  readonly tookMs: number;
  /** When that was, by `Clock.now`. */
  readonly atMs: number;
}

/** The best transport that was proven with a gateway, and when (`Clock.wall`). */
export interface Verdict {
  readonly transport: TransportName;
  readonly offer?: Offer | undefined;
  readonly atMs: number;
}

/**
 * What has to be kept for the page that is loaded next (docs/protocol.md, Rebuilding; L9).
 *
 * `CoreLike.saved` is another object whenever it has to be written again, and the same one otherwise: `after` and `attach`
 * may lag behind, for the next page begins its channels anew and attaches well above.
 */
export interface Saved {
  /** Nothing where no session stands: then there are sends that were never said, numbered from 1. */
  readonly known?: Known | undefined;
  /** The newest attach number used. The next page goes on 1,000,000 above it. */
  readonly attach: number;
  readonly after: number;
  /** The lowest unreplied send's number. */
  readonly low: number;
  /** From `low` on: the sends without a reply, and a `noop` for every other number. 128 KiB of them at most. */
  readonly commands: readonly Command[];
  /** The last number that may have been said: the outcome of sends up to it is unknown where the session is gone (C6). */
  readonly said: number;
  /** Sends that were not kept, being too large or of a session that is lost, a `noop` in `commands`: the next page is told of each that its outcome is unknown. */
  readonly unkept: readonly number[];
  /** When the oldest of `commands` was first said, by `Clock.wall`: for a while the gateway knows the `id` of each. */
  readonly atMs: number;
}
