/**
 * The links of a gateway in memory: what a client says arrives after the latency, and what the gateway says too, unless
 * the link was cut meanwhile.
 */

import type { Clock } from '../clock.js';
import type { AttemptOutcome, DownFrame, TransportName, UpFrame } from '../protocol.js';
import type { End, Link, LinkEvents, Opening, Transport } from '../transports/transport.js';

/** What stands at the other end. */
export interface Door {
  readonly clock: Clock;
  readonly latencyMs: number;
  /** Why this transport cannot be opened, where it cannot. */
  blocked(transport: TransportName): { readonly outcome: AttemptOutcome; readonly reason: string } | undefined;
  /** A message came up a stream, or with a poll. */
  handle(link: FakeLink, message: readonly UpFrame[], attach?: number): void;
  /** A post came: what it is answered with. */
  handlePost(message: readonly UpFrame[]): readonly DownFrame[];
  opened(link: FakeLink): void;
  gone(link: FakeLink): void;
}

/** A transport that ends at a gateway in memory. */
export function fakeTransport(name: TransportName, door: Door): Transport {
  const isDuplex = name === 'websocket' || name === 'webtransport';
  return { name, isDuplex, missing: () => undefined, open: (opening) => new FakeLink(name, isDuplex, opening, door) };
}

export class FakeLink implements Link {
  readonly transport: TransportName;
  readonly isPolling: boolean;
  /** The last item that was sent down it. */
  sent = 0;
  /** The nonce that a probe has to give back before it may attach. */
  nonce: number | undefined;
  isProven = false;
  /** What the gateway calls it. */
  name = 0;
  /** The attach number of the poll that is held. */
  polls: number | undefined;
  /** Lets the poll that is held go on. */
  release: () => void = () => {};

  readonly #events: LinkEvents;
  readonly #door: Door;
  /** The client listens no more. */
  #isClosed = false;
  /** But to the end: it was closed in peace. */
  #isAwaited = false;
  #isOver = false;

  constructor(transport: TransportName, isDuplex: boolean, { events, hello }: Opening, door: Door) {
    this.transport = transport;
    this.isPolling = transport === 'polling';
    this.#events = events;
    this.#door = door;
    this.#later(() => {
      const blocked = door.blocked(transport);
      if (blocked) {
        this.end({ kind: 'failed', ...blocked });
        return;
      }
      door.opened(this);
      if (isDuplex) this.#report(() => events.opened());
      else if (hello?.length) door.handle(this, hello);
    });
  }

  // What the client says.

  transmit(message: readonly UpFrame[]): void {
    this.#later(() => this.#door.handle(this, message));
  }

  transmitVolatile(message: readonly UpFrame[]): void {
    this.transmit(message);
  }

  poll(attach: number, message: readonly UpFrame[]): void {
    this.#later(() => {
      const blocked = this.#door.blocked(this.transport);
      if (blocked) this.end({ kind: 'failed', ...blocked });
      else this.#door.handle(this, message, attach);
    });
  }

  post(post: number, message: readonly UpFrame[]): void {
    this.#later(() => {
      const answer = this.#door.handlePost(message);
      this.#report(() => this.#events.posted(post, answer));
    });
  }

  close(inPeace: boolean): void {
    this.#isClosed = true;
    this.#isAwaited = inPeace && !this.isPolling;
    // What was said before it is still on its way; where it was in peace, the gateway closes it too.
    this.#later(() => (inPeace ? this.end({ kind: 'closed', code: 1000 }) : this.#leave()));
  }

  // What the gateway says.

  /** Says frames: down a stream, or as the answer of the poll that is held. */
  say(frames: readonly DownFrame[]): void {
    const attach = this.polls;
    if (!this.isPolling) this.#report(() => this.#events.received(frames));
    else if (attach !== undefined) {
      this.polls = undefined;
      this.release();
      this.#report(() => this.#events.answered(attach, frames));
    }
  }

  /** Ends it after what was said. */
  end(end: End): void {
    this.#later(() => this.cut(end));
  }

  /** Ends it at once: what is on its way is lost. */
  cut(end: End = { kind: 'lost', reason: 'cut' }): void {
    if (this.#isOver) return;
    const isHeard = !this.#isClosed || this.#isAwaited;
    this.#leave();
    if (isHeard) this.#events.ended(end);
  }

  #leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.release();
    this.#door.gone(this);
  }

  #report(report: () => void): void {
    this.#later(() => {
      if (!this.#isClosed) report();
    });
  }

  #later(then: () => void): void {
    const arrive = (): void => {
      if (!this.#isOver) then();
    };
    const { clock, latencyMs } = this.#door;
    if (latencyMs) clock.after(latencyMs, arrive);
    else queueMicrotask(arrive);
  }
}
