/**
 * The contract of a transport: it opens links, and a link moves messages. It knows nothing of sessions, retries, or
 * order.
 *
 * Duplex links (`websocket`, `webtransport`) transmit both ways. An event stream (`sse`) takes its first message with
 * its request, and is told the rest by posts beside it. A polling link carries nothing by itself: it polls and posts.
 * A link reports nothing before `open` has returned it, after `close`, or after it has reported `ended`. A duplex link
 * that is closed in peace still reports that it `ended`, once the gateway has closed it too.
 */

import type { Clock } from '../clock.js';
import type { Codec } from '../codec/codec.js';
import type { End } from '../end.js';
import type { DownFrame, Offer, TransportName, UpFrame } from '../protocol.js';

export type { End };

/** Where a link reports to. */
export interface LinkEvents {
  /** A duplex link's handshake is done; what it is told goes out. */
  opened(): void;
  /** Frames came down a stream. */
  received(frames: readonly DownFrame[]): void;
  /** Bytes came, of whatever kind: it lives. */
  alive(): void;
  /** A poll is answered. */
  answered(attach: number, frames: readonly DownFrame[]): void;
  /** A post is answered, or failed with this reason. */
  posted(post: number, answer: readonly DownFrame[] | string): void;
  /** It is over. */
  ended(end: End): void;
}

/** What a link is opened with. */
export interface Opening {
  /** Where the gateway is mounted; ends with `/`. Links are below `v1/`. */
  readonly base: URL;
  readonly offer?: Offer | undefined;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly events: LinkEvents;
  /** How long a connection may take to stand: 5,000 by default. */
  readonly connectMs: number;
  /** What an event stream says with its request. */
  readonly hello?: readonly UpFrame[] | undefined;
}

export interface Link {
  /** The name of the codec that it speaks, where that may not be the one that it was opened with. */
  readonly codec?: string;
  /** Says a message on a duplex link. */
  transmit(message: readonly UpFrame[]): void;
  /** Says one that may be dropped, as a datagram where there are some. */
  transmitVolatile(message: readonly UpFrame[]): void;
  /** Polls, and gives an earlier poll of this link up. Where it `isBare`, this and all posts go without cookies. */
  poll(attach: number, message: readonly UpFrame[], isBare?: boolean): void;
  /** Posts beside the link, and gives an earlier post up. */
  post(post: number, message: readonly UpFrame[]): void;
  /** Ends it: at once, or after what was said is written. */
  close(inPeace: boolean): void;
}

export interface Transport {
  readonly name: TransportName;
  readonly isDuplex: boolean;
  /** Why this platform cannot open it; nothing where it can. */
  missing(): string | undefined;
  open(opening: Opening): Link;
}
