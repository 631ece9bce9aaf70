/**
 * A client for Throughline: one session over WebTransport, WebSocket, server-sent events and long-polling; nothing lost,
 * nothing twice, nothing out of order. The guide is docs/clients/js.md.
 *
 * Entries of their own: `/core` (without defaults), `/webtransport`, `/bincode`, `/optimistic`, `/testing`.
 */

export { connect } from './connect.js';

export type { Environment, Told } from './browser/environment.js';
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
export type { Codec, Decoded, Splitter } from './codec/codec.js';
export { json } from './codec/json.js';
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
export type { HttpOptions } from './transports/http.js';
export { polling } from './transports/polling.js';
export { sse } from './transports/sse.js';
export type { End, Link, LinkEvents, Opening, Transport } from './transports/transport.js';
export { webSocket } from './transports/websocket.js';
export type { WebSocketOptions } from './transports/websocket.js';
