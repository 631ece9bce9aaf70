/**
 * A channel as the application sees it: what it says, and what is heard of it. How a subscription does that is in
 * `subscription.ts`.
 */

import type { Outcome } from './core/output.js';
import type { Rejected } from './errors.js';
import type { From, Gap, Member, Meta, Payload, Position, Sender, Subscribed } from './protocol.js';

/** One event of a channel. */
export interface EventOf<Name, Data> {
  readonly type: 'event';
  readonly channel: string;
  /** What kind of event it is, as the publisher named it. */
  readonly name: Name;
  /** Its payload, where that is JSON. */
  readonly data: Data;
  /** Its payload, where that is bytes. */
  readonly bytes?: Uint8Array;
  /** When the gateway took it, in milliseconds since the Unix epoch, by the gateway's clock. */
  readonly time: number;
  readonly position: Position;
  /** Who sent it, as the gateway vouches for it; absent when the application published it. */
  readonly sender?: Sender;
  readonly meta?: Meta;
  readonly key?: string;
  /** The number of its item in this session: it rises, and begins anew when the session is lost. */
  readonly number: number;
}

/** The events of a channel, told apart by their `name` where `Events` maps names to the types of `data`. */
export type ChannelEvent<Events extends object = Record<string, unknown>> = string extends keyof Events
  ? EventOf<string | undefined, unknown>
  : { [Name in keyof Events & string]: EventOf<Name, Events[Name]> }[keyof Events & string];

/** The state of what a channel is about, as it was at `position` of the channel. */
export interface Snapshot<State> {
  readonly state: State;
  readonly position: Position;
}

/** Why a snapshot is fetched: for the first time, after a gap, or since somebody asked for it. */
export type SnapshotReason = 'first' | 'gap' | 'refresh';

/** What a channel tells in order: each event once, each gap, each snapshot before the events that follow it. */
export type Happening<Events extends object = Record<string, unknown>, State = unknown> =
  | ChannelEvent<Events>
  | (Gap & { readonly channel: string })
  | ({ readonly type: 'snapshot' } & Snapshot<State>);

/** How fresh what is shown of a channel is. */
export type Freshness =
  /** Nothing is known yet: show a skeleton. `error` is what `snapshot` threw last, or what was wrong with what it gave. */
  | { readonly name: 'loading'; readonly error?: unknown }
  /** What is shown is what is. */
  | { readonly name: 'live' }
  /**
   * What is shown was so at `sinceMs` (milliseconds since the Unix epoch, by this clock). `recovering`: no link, or the
   * subscription is being renewed. `gap`: events are missing and a snapshot is on its way. `snapshot`: it could not be
   * fetched, and is tried again. `ended`: nothing more will come.
   */
  | {
      readonly name: 'stale';
      readonly sinceMs: number;
      readonly reason: 'recovering' | 'gap' | 'snapshot' | 'ended';
      readonly error?: unknown;
    };

/** Who came or went; `state` has everybody. */
export interface PresenceChange {
  readonly kind: 'state' | 'join' | 'leave';
  readonly members: readonly Member[];
  /** How many take part after it. */
  readonly count: number;
  /** Why the session does not take part any more, and is told nothing more: it asked to, and was refused. `members` is empty. */
  readonly error?: Rejected;
}

/** Something that was said and is not kept (docs/protocol.md, Volatiles). */
export interface Volatile extends Payload {
  readonly channel: string;
  readonly name?: string;
  readonly time: number;
  readonly sender?: Sender;
}

/** The end of a subscription: `requested` by `leave`, or the gateway's reason; `error` where it was refused. */
export interface ChannelEnd {
  readonly reason: string;
  readonly error?: Rejected;
}

/** What `Channel.on` tells. */
export interface ChannelEvents<Events extends object, State> {
  /** Something was published. */
  event: ChannelEvent<Events>;
  /** Events that will not come (docs/protocol.md, Events and gaps). With `snapshot` there is nothing to do about it. */
  gap: Gap & { readonly channel: string };
  /** A snapshot was fetched: it replaces what is known; the events after it follow. */
  snapshot: { readonly type: 'snapshot' } & Snapshot<State>;
  /** `members` changed. */
  presence: PresenceChange;
  /** `freshness` changed. */
  freshness: Freshness;
  /** Something that is not kept. */
  volatile: Volatile;
  /** It is subscribed, for the first time or again in a new session. */
  subscribed: Subscribed;
  /** It ended, and nothing more comes. */
  unsubscribed: ChannelEnd;
}

/** What `subscribe` takes. */
export interface SubscribeOptions<State = unknown> {
  /**
   * Where to begin: with the next event, with the newest so many, or after a position (of `session.subscribe` on an
   * earlier page, for instance). Default: `'now'`; with `snapshot` what it needs.
   */
  readonly from?: From;
  /** Whether to take part in the channel's presence: to be listed, and to be told. Default: false. */
  readonly presence?: boolean;
  /**
   * Fetches the state that the channel's events change, with the position that it is as of. Called at once, beside the
   * subscription; after a gap, unless newer events stand for what is missing (`conflated`); and when `subscribe` asks for it on a channel that is held. Events wait for it, those at
   * or before its position are dropped. What it throws, and what is no snapshot, is tried again, 1 s apart at first and 30 s at most. `signal`
   * is aborted when nobody wants it any more.
   */
  readonly snapshot?: (context: { readonly signal: AbortSignal; readonly reason: SnapshotReason }) => Promise<Snapshot<State>>;
  /** A permission to subscribe, for an application that hands out such. */
  readonly token?: string;
  /** Aborting it takes this `subscribe` back, as `leave` does. Use the one or the other. */
  readonly signal?: AbortSignal;
}

/** What `send` takes beside what is sent. */
export interface SendOptions {
  /** What kind it is, for whoever handles it; the name of the event that it becomes. At most 200 bytes. */
  readonly name?: string;
  /** An idempotency key of at most 64 bytes: sent again with the same within 5 minutes, it is not carried out again. */
  readonly id?: string;
  /** At most 16 names of `a-z 0-9 -`, 1,024 bytes in all. */
  readonly meta?: Meta;
  /** Aborting it means that nobody waits for the reply any more; what was sent stays sent. */
  readonly signal?: AbortSignal;
}

/** The application's answer to a `send`: what it said, and where the event landed, if it says so. */
export interface Reply extends Payload {
  readonly position?: Position;
}

/** Takes a listener back. */
export type Unlisten = () => void;

/**
 * A subscription to a channel. Iterating over it gives what happens in order, from when the loop began; a loop that is
 * slow holds the session's acknowledgements back, so nothing is lost and nothing piles up. It ends with the subscription.
 *
 * What happens before anybody listens to `event`, `gap` or `snapshot`, or iterates, waits for the first who does.
 */
export interface Channel<Events extends object = Record<string, unknown>, State = unknown>
  extends AsyncIterable<Happening<Events, State>> {
  readonly name: string;
  /** The place up to which it was told; nothing before it is subscribed. */
  readonly position: Position | undefined;
  readonly freshness: Freshness;
  /** Who takes part, by session; a new map at each change. Empty without `presence`. */
  readonly members: ReadonlyMap<string, Member>;
  /** Resolves when it is first subscribed. Rejects with `Rejected` or `SessionClosed`. */
  readonly subscribed: Promise<Subscribed>;
  /** Why it has ended; nothing while it goes on. */
  readonly end: ChannelEnd | undefined;

  on<Name extends keyof ChannelEvents<Events, State>>(
    name: Name,
    listener: (what: ChannelEvents<Events, State>[Name]) => void,
    options?: { readonly signal?: AbortSignal },
  ): Unlisten;
  /** As `Session.send`. */
  send(data?: unknown, options?: SendOptions): Promise<Reply>;
  /** As `Session.sendVolatile`. */
  sendVolatile(data?: unknown, options?: { readonly name?: string }): boolean;
  /** Fetches the snapshot again, for somebody who joins late; everybody who listens is told. Nothing without `snapshot`. */
  refresh(): void;
  /**
   * Takes one `subscribe` back; with the last nothing more is heard. Resolves when the gateway knows, or when there is
   * nothing to be told.
   */
  leave(): Promise<void>;
}

/** What a view of a channel needs beside; the application has no use for it. */
export interface InnerChannel {
  /** The public id of the session, which its events name as their sender. */
  readonly me: string | undefined;
  readonly hasSnapshot: boolean;
  /** Whether somebody has listened before: what was told is told no more. */
  readonly wasHeard: boolean;
}

/** A `send` whose outcome is told at once, before anything that came with it is heard. */
export interface InnerSendOptions extends SendOptions {
  readonly heard?: (outcome: Outcome) => void;
}
