/** A session as the application sees it. How it does that is in `conversation.ts` and `driver.ts`. */

import type { Channel, Reply, SendOptions, SubscribeOptions, Unlisten } from './channel.js';
import type { Explanation } from './explain.js';
import type { Command, Subscribed, TransportName } from './protocol.js';

/** How the session stands. `retryAt` is in milliseconds since the Unix epoch, by this machine's clock. */
export type SessionState =
  /** A link is being opened, for the first time. */
  | { readonly name: 'connecting'; readonly attempt: number }
  /** A link carries the session. */
  | { readonly name: 'live'; readonly transport: TransportName }
  /** The link is lost, and another is being opened. */
  | { readonly name: 'recovering'; readonly reason: string; readonly attempt: number }
  /** No link until `retryAt`; without one, until there are credentials or a network. */
  | { readonly name: 'waiting'; readonly reason: string; readonly attempt: number; readonly retryAt?: number }
  /** Over, for good. */
  | { readonly name: 'closed'; readonly reason: string };

/** What `Session.on` tells. */
export interface SessionEvents {
  /** `state` changed. */
  state: SessionState;
  /** A new session stands: the first, or one in place of a lost one. */
  opened: { readonly session: string };
  /** The session goes on, on another link. */
  resumed: { readonly session: string };
  /**
   * The session is lost: sends without a reply end with `OutcomeUnknown`, channels are renewed from where they were.
   * Unless `isFinal`, a new one takes its place.
   */
  lost: { readonly reason: string; readonly isFinal: boolean };
  /** A channel that the server subscribed this session to. */
  subscribed: { readonly channel: Channel; readonly subscribed: Subscribed };
}

/** A command of the page before this one, whose reply that page did not see. */
export interface Restored {
  /** What was sent; a `noop` where it was too large to keep, whose outcome is unknown. */
  readonly command: Command;
  /** As of `Session.send`. */
  readonly outcome: Promise<Reply>;
}

/**
 * A session with a gateway. It outlives its links: it comes back by itself, with nothing lost, nothing twice and nothing
 * out of order, until it is closed or the gateway says for good.
 */
export interface Session {
  readonly state: SessionState;
  /** The public id of the session; nothing before it is first welcomed. */
  readonly id: string | undefined;
  /** Who the gateway takes this client for; nothing where nobody is authenticated. */
  readonly user: string | undefined;
  /** Whether it goes on from the page before this one; not any more once that session is lost. */
  readonly isResumed: boolean;
  /** What the page before this one sent and had no reply of. Resolves once that is known, which needs no link. */
  readonly restored: Promise<readonly Restored[]>;

  on<Name extends keyof SessionEvents>(
    name: Name,
    listener: (what: SessionEvents[Name]) => void,
    options?: { readonly signal?: AbortSignal },
  ): Unlisten;

  /** Resolves when the session is live. Rejects with `SessionClosed`, or with the signal's reason. */
  ready(options?: { readonly signal?: AbortSignal }): Promise<void>;

  /**
   * Subscribes to a channel. A channel that is held already is the same `Channel`, and is held until it is left as often
   * as it was subscribed. Throws a `TypeError` that gives the rule where the channel or an option is none.
   */
  subscribe<Events extends object = Record<string, unknown>, State = unknown>(
    channel: string,
    options?: SubscribeOptions<State>,
  ): Channel<Events, State>;

  /** Subscribes ahead of need, and leaves again after `forMs` (default: 30,000) unless somebody else has subscribed. */
  prefetch<Events extends object = Record<string, unknown>, State = unknown>(
    channel: string,
    options?: SubscribeOptions<State> & { readonly forMs?: number },
  ): Channel<Events, State>;

  /**
   * Says something to the application: JSON, or bytes where it is an `ArrayBuffer` or a view of one. It is sent in order, once, over whatever
   * links it takes.
   *
   * Rejects with `Rejected`, `OutcomeUnknown`, `SessionClosed`, a `TypeError` where `data` is no JSON, or the signal's
   * reason. docs/protocol.md, Send and reply.
   */
  send(channel: string, data?: unknown, options?: SendOptions): Promise<Reply>;

  /**
   * Says something that matters now or not at all, at most 4 KiB, in a channel that is subscribed. Returns whether it was
   * passed on: not where it is larger, nor where the channel is not subscribed. docs/protocol.md, Volatiles.
   */
  sendVolatile(channel: string, data?: unknown, options?: { readonly name?: string }): boolean;

  /** Moves to another transport and stays on it, with nothing lost on the way. Rejects with `NotMigrated`, `SessionClosed`. */
  migrate(transport: TransportName, options?: { readonly signal?: AbortSignal }): Promise<void>;

  /** Why the session runs on what it runs on: for a program, and as text (`String(session.explain())`) for a person. */
  explain(): Explanation;

  /** Says that the network is another one. Pages need not: the browser's own events are heard. */
  networkChanged(): void;

  /** Drops the current link as a failing network would. For tests. */
  cut(): void;

  /** Ends the session: the gateway forgets it. Resolves once the gateway has heard it, or its time is over. */
  close(): Promise<void>;
}
