/**
 * What a client must think, without I/O: no socket, no clock, no randomness of its own. The Rust client's `core` in another language.
 *
 * Whoever drives it changes it with as many `handle*` calls and wishes as there is news, then calls `settle` once, then
 * drains `pollOutput` and `pollIncoming`, then sleeps until the next news or `deadline`. Times are `Clock.now`'s.
 */

import type { Random } from '../clock.js';
import type { Command, DownFrame, Offer, Payload, TransportName } from '../protocol.js';
import type { End } from '../transports/transport.js';
import type { Attempt, CoreState, Incoming, Output, Saved, Verdict } from './output.js';
import type { Timing } from './timing.js';

export interface CoreOptions {
  /** In order of preference, each with whether it is duplex, and why this platform does not have it. */
  readonly transports: readonly { readonly name: TransportName; readonly isDuplex: boolean; readonly missing?: string | undefined }[];
  /** Whether better transports are probed; otherwise the first alone is used, the next when it fails. */
  readonly negotiates: boolean;
  /** Whether the gateway is called by `https`, so that WebTransport needs no offer. */
  readonly isSecure: boolean;
  readonly client: { readonly name: string; readonly version: string };
  readonly timing: Timing;
  /** What worked with this gateway before. */
  readonly verdict?: Verdict | undefined;
  /**
   * The session of the page before this one. Each `send` in its `commands` that has no reply, and each number in `unkept`,
   * is settled under a ticket of its own: minus its number.
   */
  readonly saved?: Saved | undefined;
  /** The session's first credentials. With `needsAuth` and none, nothing is opened before `authenticate`. */
  readonly auth?: string | undefined;
  readonly needsAuth?: boolean;
  /** How many commands may wait for a reply before `hasRoom` is false. */
  readonly commands: number;
  readonly random: Random;
  readonly nowMs: number;
  /** Milliseconds since the Unix epoch at `nowMs`. */
  readonly wallMs: number;
}

/** The contract of `Core`, which the driver is written against. */
export interface CoreLike {
  readonly state: CoreState;
  readonly hasRoom: boolean;
  readonly isClosed: boolean;
  /** The public id of the session, once there is one. */
  readonly session: string | undefined;
  readonly user: string | undefined;
  /** When the credentials are over (`Clock.now`), as the gateway said; `Infinity` where it said nothing. */
  readonly authExpiresAtMs: number;
  /** Why the session is on what it is on, for a person; empty before a link was up. */
  readonly why: string;
  /** What was tried lately, oldest first: at most 32. */
  readonly history: readonly Attempt[];
  readonly offers: readonly Offer[];
  /** When a transport may be tried again (`Clock.now`): in the past where it is not left alone. */
  notBefore(transport: TransportName): number;
  /** The link that carries the session, to cut it in a test. */
  readonly active: number | undefined;
  /** What the next page needs; nothing before the first welcome, nor once the session is over. The same object unless it has to be written again. */
  readonly saved: Saved | undefined;

  // What the application wants.
  command(nowMs: number, command: Command, ticket: number): void;
  volatile(nowMs: number, channel: string, name: string | undefined, payload: Payload): boolean;
  migrate(nowMs: number, transport: TransportName, ticket: number): void;
  authenticate(nowMs: number, token: string): void;
  close(nowMs: number): void;
  /**
   * The oldest item that the application has not taken (a slow iterator): nothing from there on is acknowledged. A number of
   * the session that stands; when that is lost (`hear: 'lost'`), nothing is held back any more.
   */
  holdBack(number: number | undefined): void;

  // What the world did.
  handleOpened(nowMs: number, link: number): void;
  handleFrames(nowMs: number, link: number, frames: readonly DownFrame[]): void;
  handleAlive(nowMs: number, link: number): void;
  handleAnswer(nowMs: number, link: number, attach: number, frames: readonly DownFrame[]): void;
  handlePosted(nowMs: number, link: number, post: number, answer: readonly DownFrame[] | string): void;
  handleEnded(nowMs: number, link: number, end: End): void;
  /** Another network, or a machine that woke: learnt failures are forgotten, the link is asked for a sign, a wait is cut short. */
  handleNetworkChanged(nowMs: number): void;
  /** There is no network: nothing is opened until there is one. */
  handleOffline(nowMs: number): void;
  /** The page is hidden and shares six connections with its origin: polls are not held, `hiddenPollMs` apart. */
  handleHidden(nowMs: number, isHidden: boolean): void;
  /** Every link was cut without a goodbye (the page goes to the cache); a `handleNetworkChanged` brings it back. */
  handleFrozen(nowMs: number): void;

  settle(nowMs: number): void;
  pollOutput(): Output | undefined;
  pollIncoming(): Incoming | undefined;
  /** When `settle` has something to do though nothing happens; `Infinity` where never. */
  deadline(): number;
}
