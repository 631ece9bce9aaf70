/**
 * What could carry the session: in which order it is wanted, what the gateway offers, and how each has done.
 *
 * A transport that failed is left alone for a while, twice as long each time, up to a cap. It has to live for `settledMs`
 * before its failures are forgotten: one that is proven and soon falls silent, again and again, costs its session less
 * each time. What this platform does not have is not listed at all, unless there is nothing else.
 */

import type { Random } from '../../clock.js';
import type { Offer, TransportName } from '../../protocol.js';
import type { Verdict } from '../output.js';
import type { Timing } from '../timing.js';

/** How long a verdict counts: networks change, and so do gateways. */
const VALID_MS = 24 * 60 * 60 * 1_000;

/** One way to carry the session, as it is listed. */
export interface Listed {
  readonly name: TransportName;
  readonly isDuplex: boolean;
  /** Why this platform cannot open it; nothing where it can. */
  readonly missing?: string | undefined;
}

export interface Candidate {
  readonly name: TransportName;
  readonly isDuplex: boolean;
  /** What the gateway says of it: where it is, `null` if it is not there, and nothing yet. */
  offer: Offer | null | undefined;
  /** How often in a row it failed, since it last lived long enough. */
  failures: number;
  /** When it may be tried again. */
  notBeforeMs: number;
}

export class Candidates {
  /** What the application asked for by name. */
  pinned: Candidate | undefined;
  /** What the gateway asked for, in its order; nothing undoes it but another such word, or another session. */
  asked: readonly Candidate[] = [];
  /** In the application's order. */
  readonly #listed: readonly Candidate[];
  readonly #isSecure: boolean;

  /** `isSecure` says whether the gateway is called by `https`, so that WebTransport needs no offer. */
  constructor(transports: readonly Listed[], isSecure: boolean) {
    const there = transports.filter(({ missing }) => missing === undefined);
    this.#listed = (there.length ? there : transports).map(({ name, isDuplex }) => {
      return { name, isDuplex, offer: undefined, failures: 0, notBeforeMs: 0 };
    });
    this.#isSecure = isSecure;
  }

  of(transport: string): Candidate | undefined {
    return this.#listed.find(({ name }) => name === transport);
  }

  /** What may be tried, best first: what the application asked for, what the gateway asked for, what is listed. */
  order(): readonly Candidate[] {
    const order = new Set([...this.asked, ...this.#listed].filter((candidate) => this.#mayTry(candidate)));
    const { pinned } = this;
    if (pinned) return [...new Set([pinned, ...order])];
    // Nothing else is wanted: then it is tried, whatever was said of it.
    return order.size ? [...order] : this.#listed;
  }

  /** Long-polling, where it may be used. */
  polling(): Candidate | undefined {
    return this.order().find(isPolling);
  }

  /** The gateway says what is on offer. Returns what was listed and is not. */
  offerAll(offers: readonly Offer[]): readonly Candidate[] {
    // A gateway that names nothing has said nothing.
    if (!offers.length) return [];
    const before = this.#listed.filter(({ offer }) => offer !== null);
    for (const candidate of this.#listed) candidate.offer = offers.find(({ name }) => name === candidate.name) ?? null;
    return before.filter(({ offer }) => !offer);
  }

  /** What worked before, with where it was: nothing where that is too long ago, or lies in the future of a clock that was set back. */
  remembered({ transport, offer, atMs }: Verdict, wallMs: number): Candidate | undefined {
    if (atMs > wallMs || wallMs >= atMs + VALID_MS) return undefined;
    if (offer) this.recall(offer);
    return this.of(transport);
  }

  /** An offer that is remembered from an earlier session, or came beside the list. */
  recall(offer: Offer): void {
    const candidate = this.of(offer.name);
    if (candidate) candidate.offer = offer;
  }

  /** The network is another one: nothing that was learnt of it holds any more. */
  forgiveAll(): void {
    this.#listed.forEach(forgive);
  }

  #mayTry({ name, offer }: Candidate): boolean {
    // WebTransport's certificate is in the offer, unless it is one that everybody trusts.
    return offer === undefined ? name !== 'webtransport' || this.#isSecure : offer !== null;
  }
}

export function isPolling({ name }: Candidate): boolean {
  return name === 'polling';
}

/** It failed: it is left alone for a while. */
export function blame(candidate: Candidate, nowMs: number, { reprobeMs, reprobeCapMs }: Timing, random: Random): void {
  const waitMs = Math.min(reprobeMs * 2 ** candidate.failures++, Math.max(reprobeMs, reprobeCapMs));
  // Jittered by a quarter, so that what failed together is not tried together.
  candidate.notBeforeMs = nowMs + waitMs - Math.floor((random() * waitMs) / 4);
}

/** It lived for long: its failures are forgotten. */
export function forgive(candidate: Candidate): void {
  candidate.failures = candidate.notBeforeMs = 0;
}
