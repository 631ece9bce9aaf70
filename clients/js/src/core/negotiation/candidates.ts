/**
 * What could carry the session: in which order it is wanted, what the gateway offers, and how each has done.
 *
 * A transport that failed is left alone for a while, twice as long each time, up to a cap. It has to live for `settledMs`
 * before its failures are forgotten: one that is proven and soon falls silent, again and again, costs its session less
 * each time. What this platform does not have is not listed at all, unless there is nothing else.
 */

import type { Random } from '../../clock.js';
import type { Offer, TransportName } from '../../protocol.js';
import type { Timing } from '../timing.js';

/** One way to carry the session, as it is listed. */
export interface Listed {
  readonly name: TransportName;
  readonly isDuplex: boolean;
  /** Why this platform cannot open it; nothing where it can. */
  readonly missing?: string | undefined;
}

interface Candidate extends Listed {
  /** What the gateway says of it: nothing yet, where it is, or that it is not there. */
  offer: Offer | 'none' | undefined;
  /** How often in a row it failed, since it last lived long enough. */
  failures: number;
  notBeforeMs: number;
}

export class Candidates {
  /** In the application's order. */
  readonly #listed: ReadonlyMap<string, Candidate>;
  readonly #isSecure: boolean;
  /** What the application asked for by name. */
  #pinned: TransportName | undefined;
  /** What the gateway asked for, in its order. */
  #asked: readonly TransportName[] = [];

  /** `isSecure` says whether the gateway is called by `https`, so that WebTransport needs no offer. */
  constructor(transports: readonly Listed[], isSecure: boolean) {
    const there = transports.filter(({ missing }) => missing === undefined);
    this.#listed = new Map(
      (there.length ? there : transports).map((listed) => [
        listed.name,
        { ...listed, offer: undefined, failures: 0, notBeforeMs: 0 },
      ]),
    );
    this.#isSecure = isSecure;
  }

  /** What may be tried, best first: what the application asked for, what the gateway asked for, what is listed. */
  order(): TransportName[] {
    const listed = [...this.#listed.values()];
    const wanted = [...this.#asked, ...listed.map(({ name }) => name)].filter((name) => this.#mayTry(name));
    const order = [...new Set(this.#pinned ? [this.#pinned, ...wanted] : wanted)];
    // Nothing else is wanted: then it is tried, whatever was said of it.
    return order.length ? order : listed.map(({ name }) => name);
  }

  /** Its place in the order; past the end where it has none. */
  rank(transport: TransportName): number {
    const rank = this.order().indexOf(transport);
    return rank < 0 ? Infinity : rank;
  }

  /** Long-polling, where it may be used. */
  polling(): TransportName | undefined {
    return this.order().find((transport) => transport === 'polling');
  }

  isListed(transport: string): transport is TransportName {
    return this.#listed.has(transport);
  }

  isDuplex(transport: TransportName): boolean {
    return this.#listed.get(transport)?.isDuplex ?? false;
  }

  /** What the gateway last said of it. */
  offer(transport: TransportName): Offer | undefined {
    const offer = this.#listed.get(transport)?.offer;
    return offer === 'none' ? undefined : offer;
  }

  /** When it may be tried again. */
  notBefore(transport: TransportName): number {
    return this.#listed.get(transport)?.notBeforeMs ?? 0;
  }

  /** Whether it failed lately. */
  isFailing(transport: TransportName): boolean {
    return !!this.#listed.get(transport)?.failures;
  }

  /** The application asks for this one by name. */
  pin(transport: TransportName): void {
    this.#pinned = transport;
  }

  /** The gateway asks for these, in this order; nothing undoes it but another such word, or another session. */
  askFor(transports: readonly TransportName[]): void {
    this.#asked = transports;
  }

  /** The gateway says what is on offer. Returns what was listed and is not. */
  offerAll(offers: readonly Offer[]): TransportName[] {
    const missing: TransportName[] = [];
    // A gateway that names nothing has said nothing.
    for (const candidate of offers.length ? this.#listed.values() : []) {
      const offer = offers.find(({ name }) => name === candidate.name) ?? 'none';
      if (offer === 'none' && candidate.offer !== offer) missing.push(candidate.name);
      candidate.offer = offer;
    }
    return missing;
  }

  /** An offer that is remembered from an earlier session, or came beside the list. */
  recall(offer: Offer): void {
    this.#change(offer.name, { offer });
  }

  /** It turned out not to be there: it is not tried until it is offered again. */
  withdraw(transport: TransportName): void {
    this.#change(transport, { offer: 'none' });
  }

  /** It failed: it is left alone for a while. */
  blame(nowMs: number, transport: TransportName, { reprobeMs, reprobeCapMs }: Timing, random: Random): void {
    const failures = this.#listed.get(transport)?.failures ?? 0;
    const waitMs = Math.min(reprobeMs * 2 ** failures, Math.max(reprobeMs, reprobeCapMs));
    // Jittered by a quarter, so that what failed together is not tried together.
    const quarterMs = Math.floor((random() * waitMs) / 4);
    this.#change(transport, { failures: failures + 1, notBeforeMs: nowMs + waitMs - quarterMs });
  }

  /** The gateway says that it is not to be tried before then. */
  leaveAlone(transport: TransportName, untilMs: number): void {
    this.#change(transport, { notBeforeMs: Math.max(this.notBefore(transport), untilMs) });
  }

  /** It lived for long: its failures are forgotten. */
  forgive(transport: string): void {
    this.#change(transport, { failures: 0, notBeforeMs: 0 });
  }

  /** The network is another one: nothing that was learnt of it holds any more. */
  forgiveAll(): void {
    for (const transport of this.#listed.keys()) this.forgive(transport);
  }

  #mayTry(transport: TransportName): boolean {
    const candidate = this.#listed.get(transport);
    if (!candidate || candidate.offer === 'none') return false;
    // WebTransport's certificate is in the offer, unless it is one that everybody trusts.
    return candidate.offer !== undefined || transport !== 'webtransport' || this.#isSecure;
  }

  #change(transport: string, change: Partial<Candidate>): void {
    const candidate = this.#listed.get(transport);
    if (candidate) Object.assign(candidate, change);
  }
}
