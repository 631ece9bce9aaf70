/** What a gateway in memory is told, and what it tells. */

import type { Reply } from '../channel.js';
import type { Clock } from '../clock.js';
import type { Meta, Payload, Sender } from '../protocol.js';

/** What an application sent. */
export interface ReceivedIntent extends Payload {
  readonly session: string;
  readonly user?: string;
  readonly channel: string;
  readonly name?: string;
  readonly id?: string;
  readonly meta?: Meta;
}

/** What `publish` takes beside what is published. */
export interface PublishOptions {
  readonly name?: string;
  readonly key?: string;
  readonly meta?: Meta;
  /** In whose name, where a client's `send` is behind it. */
  readonly sender?: Sender;
}

/** How a gateway turns somebody away. */
export interface Refusal {
  /** Default: 1,000. */
  readonly delayMs?: number;
  /** Default: 0. */
  readonly spreadMs?: number;
  /** Default: `overload`. */
  readonly reason?: string;
  readonly final?: boolean;
}

/** Who was let in, and for how long. */
export interface Admitted {
  readonly user?: string;
  readonly expiresInMs?: number;
}

export interface FakeGatewayOptions {
  readonly clock: Clock;
  /** How long a message is on its way, in either direction. Default: 0, which is before the next task. */
  readonly latencyMs?: number;
  /** Who may enter with which credentials: their name, or nothing. Default: everybody may, by no name. */
  readonly authenticate?: (token: string | undefined) => Admitted | undefined;
  /** How many may take part in the presence of a channel. Default: 1,000. */
  readonly members?: number;
}

/** Handles what clients send: what it returns is the reply, what it throws a rejection. */
export type Handler = (intent: ReceivedIntent) => Reply | undefined | Promise<Reply | undefined>;
