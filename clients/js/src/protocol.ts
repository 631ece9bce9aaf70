/**
 * The frames, items and commands of the protocol, as plain objects of the shape that the text codec has on the wire.
 *
 * Types alone: what they do is in docs/protocol.md, each member in docs/codecs.md. A payload is `data` (a JSON value,
 * parsed) or `bytes`; neither means an empty one. What a codec reads is checked; what it writes it trusts.
 */

/** How bytes travel, as the gateway names it. */
export type TransportName = 'webtransport' | 'websocket' | 'sse' | 'polling';

/** A place in a channel. Offsets are dense within an epoch (1, 2, 3 …); another epoch is another numbering. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** A place in each of several channels. */
export type Positions = Readonly<Record<string, Position>>;

/** What was said: JSON, bytes, or nothing. At most one of them is there. */
export interface Payload {
  readonly data?: unknown;
  readonly bytes?: Uint8Array;
}

/** Who said it, as the gateway vouches for it. */
export interface Sender {
  readonly user?: string;
  readonly session: string;
}

/** Names and values that travel unread from the publisher to the subscriber. */
export type Meta = Readonly<Record<string, string>>;

/** What the gateway offers: where a transport is, and which certificates to accept. */
export interface Offer {
  readonly name: string;
  readonly url?: string;
  readonly certificateHashes?: readonly string[];
}

// Commands, which go up and are numbered.

/** Where a subscription begins. */
export type From = 'now' | { readonly last: number } | { readonly position: Position };

export interface Subscribe {
  readonly type: 'subscribe';
  readonly channel: string;
  readonly from?: From;
  readonly token?: string;
  readonly presence?: boolean;
}

export interface Unsubscribe {
  readonly type: 'unsubscribe';
  readonly channel: string;
}

export interface Send extends Payload {
  readonly type: 'send';
  readonly channel: string;
  readonly name?: string;
  readonly id?: string;
  readonly meta?: Meta;
}

/** Fills a number whose result is known. */
export interface Noop {
  readonly type: 'noop';
}

export type Command = Subscribe | Unsubscribe | Send | Noop;

// Frames up.

export interface Hello {
  readonly type: 'hello';
  readonly version: number;
  readonly instance: string;
  readonly attach?: number;
  readonly auth?: string;
  readonly resume?: Resume;
  readonly client?: { readonly name: string; readonly version: string };
  readonly features?: readonly string[];
  readonly slot?: string;
}

export interface Resume {
  readonly token: string;
  readonly incarnation: number;
  readonly after: number;
  readonly low: number;
  readonly positions?: Positions;
}

/** How the use of a transport ended (docs/protocol.md, Outcomes). */
export type AttemptOutcome =
  | 'proven'
  | 'refused'
  | 'hung'
  | 'blocked'
  | 'silent'
  | 'buffered'
  | 'late'
  | 'lost'
  | 'drained'
  | 'preferred'
  | 'unsupported';

export interface Tried {
  readonly type: 'tried';
  readonly transport: string;
  readonly outcome: AttemptOutcome;
  readonly tookMs: number;
  readonly agoMs: number;
}

export interface VolatileUp extends Payload {
  readonly type: 'volatile';
  readonly channel: string;
  readonly name?: string;
  readonly seq: number;
}

export type UpFrame =
  | Hello
  | { readonly type: 'attach'; readonly number: number; readonly after: number }
  | { readonly type: 'session'; readonly token: string; readonly incarnation: number; readonly link: number }
  | { readonly type: 'commands'; readonly first: number; readonly items: readonly Command[]; readonly ack?: number }
  | { readonly type: 'ack'; readonly upTo: number }
  | { readonly type: 'auth'; readonly token: string }
  | VolatileUp
  | Tried
  | { readonly type: 'ping' | 'pong'; readonly nonce?: number }
  | { readonly type: 'bye' };

// Items, which come down and are numbered.

export interface Event extends Payload {
  readonly type: 'event';
  readonly channel: string;
  readonly offset: number;
  readonly time: number;
  readonly name?: string;
  readonly key?: string;
  readonly sender?: Sender;
  readonly meta?: Meta;
}

export interface ReplyError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

export interface Reply extends Payload {
  readonly type: 'reply';
  readonly command: number;
  readonly ok: boolean;
  readonly position?: Position;
  readonly error?: ReplyError;
}

export interface Subscribed {
  readonly type: 'subscribed';
  readonly channel: string;
  readonly command?: number;
  readonly position: Position;
  readonly recovered: boolean;
}

export interface Unsubscribed {
  readonly type: 'unsubscribed';
  readonly channel: string;
  readonly command?: number;
  readonly reason: string;
}

export interface Gap {
  readonly type: 'gap';
  readonly channel?: string;
  readonly from?: Position;
  readonly to: Position;
  readonly exact: boolean;
  readonly reason: string;
}

/** Who takes part in a channel's presence. */
export interface Member {
  readonly session: string;
  readonly user?: string;
  readonly info?: unknown;
}

export interface Presence {
  readonly type: 'presence';
  readonly channel: string;
  readonly kind: 'state' | 'join' | 'leave';
  readonly members: readonly Member[];
  readonly count: number;
}

/** An item of a later version: it counts, and is otherwise skipped. */
export interface UnknownItem {
  readonly type: 'unknown';
}

export type Item = Event | Reply | Subscribed | Unsubscribed | Gap | Presence | UnknownItem;

// Frames down.

export interface Limits {
  readonly messageBytes: number;
  readonly commandsAhead: number;
  readonly unacknowledgedItems: number;
  readonly unacknowledgedBytes: number;
  readonly subscriptions: number;
  readonly commandsPerSecond: number;
}

export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

export interface Welcome {
  readonly type: 'welcome';
  readonly session: string;
  readonly token: string;
  readonly incarnation: number;
  readonly link: number;
  readonly resumed: boolean;
  readonly reason?: string;
  readonly next: number;
  readonly received: number;
  readonly user?: string;
  readonly time: number;
  readonly heartbeatMs: number;
  readonly resumeWindowMs: number;
  readonly windowMs: number;
  readonly backoff: Backoff;
  readonly authExpiresInMs?: number;
  readonly limits?: Limits;
  readonly transports?: readonly Offer[];
  readonly features?: readonly string[];
}

export interface Retry {
  readonly type: 'retry';
  readonly delayMs: number;
  readonly spreadMs: number;
  readonly reason: string;
  readonly slot?: string;
  readonly transports?: readonly Offer[];
  readonly final?: boolean;
}

export interface VolatileDown extends Payload {
  readonly type: 'volatile';
  readonly channel: string;
  readonly name?: string;
  readonly time: number;
  readonly seq: number;
  readonly sender?: Sender;
}

export interface ErrorFrame {
  readonly type: 'error';
  readonly code: string;
  readonly message: string;
  readonly command?: number;
  readonly fatal: boolean;
}

export type DownFrame =
  | Welcome
  | { readonly type: 'items'; readonly first: number; readonly items: readonly Item[]; readonly ack?: number }
  | { readonly type: 'ack'; readonly upTo: number }
  | Retry
  | { readonly type: 'migrate'; readonly transports: readonly Offer[]; readonly delayMs: number; readonly spreadMs: number }
  | VolatileDown
  | ErrorFrame
  | { readonly type: 'ping' | 'pong'; readonly nonce?: number; readonly windowMs?: number };
