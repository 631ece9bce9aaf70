/**
 * A client for Throughline: one session over WebTransport, WebSocket, server-sent events and long-polling; nothing lost,
 * nothing twice, nothing out of order. The guide is docs/clients/js.md.
 *
 * Entries of their own: `/webtransport`, `/bincode`, `/optimistic`, `/testing`.
 */

import type { ConnectOptions } from './options.js';
import type { Session } from './session.js';

/**
 * Opens a session with the gateway that is mounted at `url`, which in a page may be relative to it. Returns at once;
 * nothing happens before the current task is over, so that what is subscribed now travels in the first message.
 *
 * Throws a `TypeError` where `url` or the options cannot be used.
 */
export declare function connect(url: string | URL, options?: ConnectOptions): Session;

export type {
  Channel,
  ChannelEnd,
  ChannelEvent,
  ChannelEvents,
  EventOf,
  Freshness,
  Happening,
  PresenceChange,
  Reply,
  SendOptions,
  Snapshot,
  SnapshotReason,
  SubscribeOptions,
  Unlisten,
  Volatile,
} from './channel.js';
export type { Clock, Random } from './clock.js';
export type { Codec } from './codec/codec.js';
export type { Verdict } from './core/output.js';
export type { Timing } from './core/timing.js';
export { NotMigrated, OutcomeUnknown, Rejected, SessionClosed, ThroughlineError } from './errors.js';
export type { Explanation, TriedTransport } from './explain.js';
export type { AuthContext, ConnectOptions, VerdictStore } from './options.js';
export type {
  AttemptOutcome,
  Command,
  From,
  Gap,
  Member,
  Meta,
  Offer,
  Payload,
  Position,
  Sender,
  Subscribed,
  TransportName,
} from './protocol.js';
export type { Restored, Session, SessionEvents, SessionState } from './session.js';
export type { Link, LinkEvents, Opening, Transport } from './transports/transport.js';
