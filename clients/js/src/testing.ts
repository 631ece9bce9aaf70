/**
 * For tests of applications (`throughline-client/testing`): a clock that goes on when it is told to, and a gateway in
 * memory that speaks the protocol's frames.
 */

import type { Clock } from './clock.js';
import type { Payload, Position } from './protocol.js';
import type { Reply } from './channel.js';
import type { Transport } from './transports/transport.js';

/** A clock that stands still. */
export declare class ManualClock implements Clock {
  /** `wallMs` is what `wall` says at first. Default: 1,764,000,000,000. */
  constructor(options?: { readonly wallMs?: number });
  now(): number;
  wall(): number;
  after(ms: number, then: () => void): () => void;
  /** Goes on by so many milliseconds, with everything in between happening at its time, promises included. */
  advance(ms: number): Promise<void>;
}

/** What an application sent. */
export interface ReceivedIntent extends Payload {
  readonly session: string;
  readonly channel: string;
  readonly name?: string;
  readonly id?: string;
  readonly meta?: Readonly<Record<string, string>>;
}

/** A gateway in memory. */
export declare class FakeGateway {
  constructor(options: { readonly clock: ManualClock; readonly latencyMs?: number });
  /** For `connect`: `websocket`, `sse` and `polling`. */
  readonly transports: readonly Transport[];
  /** Publishes to a channel. */
  publish(channel: string, data?: unknown, options?: { readonly name?: string; readonly key?: string }): Position;
  /** Handles what is sent. By default it is published to its channel, as `throughline serve` does. */
  onSend(handler: (intent: ReceivedIntent) => Reply | Promise<Reply>): void;
  /** Cuts every link, or those of one transport. */
  cut(): void;
  /** Turns away whoever comes, until `accept`: with this advice. */
  refuse(retry?: { readonly delayMs?: number; readonly spreadMs?: number; readonly reason?: string; readonly final?: boolean }): void;
  accept(): void;
  /** Forgets events of a channel, so that whoever has not had them is told a gap. */
  gap(channel: string, options?: { readonly newEpoch?: boolean }): void;
  /** Forgets every session. */
  loseSessions(): void;
  /** Tells every link to come back elsewhere, as a gateway that stops. */
  drain(): void;
}
