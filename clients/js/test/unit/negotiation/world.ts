/** A world around the decisions: what the conductor, the network and the gateway do, as simple as it may be. */

import assert from 'node:assert/strict';

import type { Decision } from '../../../src/core/negotiation/decision.js';
import { Negotiation, type NegotiationOptions } from '../../../src/core/negotiation/negotiation.js';
import { defaultTiming } from '../../../src/core/timing.js';
import type { AttemptOutcome, TransportName } from '../../../src/protocol.js';

export const ROUND_TRIP_MS = 50;

/** How a transport does: it works; the answer is no; there is none; its handshake is answered and nothing more comes down. */
export type Health = 'works' | 'refused' | 'hangs' | 'swallows';
export const healths: readonly Health[] = ['works', 'refused', 'hangs', 'swallows'];

export const streams = ['webtransport', 'websocket', 'sse'] as const;
type Happening = 'opened' | 'welcomed' | 'proven' | 'refused' | 'overdue' | 'attempt';
type LinkOf = { readonly transport: TransportName; carries: boolean };

export const isDuplex = (transport: TransportName) => transport === 'webtransport' || transport === 'websocket';

/** Randomness that repeats itself. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function options(change: Partial<NegotiationOptions> = {}): NegotiationOptions {
  const names = ['webtransport', 'websocket', 'sse', 'polling'] as const;
  return {
    transports: names.map((name) => ({ name, isDuplex: isDuplex(name) })),
    negotiates: true,
    isSecure: true,
    timing: defaultTiming,
    random: seeded(1),
    nowMs: 0,
    wall: () => 1_000_000,
    ...change,
  };
}

export class World {
  readonly negotiation: Negotiation;
  readonly decisions: Decision[] = [];
  readonly links = new Map<number, LinkOf>();
  active: number | undefined;
  nowMs = 0;
  #isKnown = false;
  #next = 0;
  readonly #agenda: { readonly atMs: number; readonly link: number; readonly what: Happening }[] = [];
  readonly #health: Record<TransportName, Health>;

  constructor(health: readonly [Health, Health, Health], change: Partial<NegotiationOptions> = {}) {
    const [webtransport, websocket, sse] = health;
    this.#health = { webtransport, websocket, sse, polling: 'works' };
    this.negotiation = new Negotiation(options(change));
    this.#later(0, -1, 'attempt');
    this.pass(0);
  }

  /** What carries the session. */
  get on(): TransportName | undefined {
    return this.active === undefined ? undefined : this.links.get(this.active)?.transport;
  }

  get begun(): TransportName[] {
    return [...this.links.values()].map(({ transport }) => transport);
  }

  /** A transport breaks or heals; a link that was on it is late a while later. */
  set(transport: TransportName, health: Health): void {
    this.#health[transport] = health;
    if (this.active !== undefined && this.on === transport && health !== 'works') this.#later(1_500, this.active, 'overdue');
  }

  /** Lets time pass, happening by happening and deadline by deadline. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.#agenda.sort((a, b) => a.atMs - b.atMs);
      const atMs = Math.min(this.#agenda[0]?.atMs ?? Infinity, this.negotiation.deadline());
      if (atMs > untilMs) break;
      this.nowMs = Math.max(atMs, this.nowMs);
      for (let next = this.#agenda[0]; next && next.atMs <= this.nowMs; next = this.#agenda[0]) {
        this.#agenda.shift();
        this.#happen(next.link, next.what);
      }
      this.decide();
    }
    this.nowMs = untilMs;
  }

  decide(): void {
    for (let n = 0; ; n++) {
      assert.ok(n < 20, `spins: ${JSON.stringify(this.decisions.slice(-20))}`);
      const decision = this.negotiation.decide(this.nowMs, (link) => this.links.has(link));
      if (!decision) break;
      this.decisions.push(decision);
      this.#carryOut(decision);
    }
    assert.ok(this.negotiation.deadline() > this.nowMs, `${this.negotiation.deadline()} at ${this.nowMs}`);
  }

  open(transport: TransportName, carries: boolean): void {
    const link = this.#next++;
    this.links.set(link, { transport, carries });
    this.negotiation.began(this.nowMs, link, transport, carries, !isDuplex(transport));
    const health = this.#health[transport];
    if (health === 'refused') this.#later(ROUND_TRIP_MS, link, 'refused');
    else if (health === 'hangs') return;
    else if (isDuplex(transport)) this.#later(2 * ROUND_TRIP_MS, link, 'opened');
    else if (health === 'works') this.#later(2 * ROUND_TRIP_MS, link, 'welcomed');
  }

  #carryOut(decision: Decision): void {
    switch (decision.do) {
      case 'carry':
        return this.open(decision.transport, true);
      case 'probe':
        assert.notEqual(decision.transport, 'polling', 'a poll attaches by itself');
        return this.open(decision.transport, false);
      case 'greet': {
        assert.ok(!decision.attach || this.active === undefined, 'only a client without a link attaches by hello');
        const link = this.#link(decision.link);
        link.carries = decision.attach;
        if (this.#health[link.transport] === 'works') this.#later(ROUND_TRIP_MS, decision.link, 'welcomed');
        return;
      }
      case 'drop': {
        const isDead = this.active !== decision.link || this.#health[this.#link(decision.link).transport] !== 'works';
        assert.ok(isDead, `a link that works is never given up: ${this.on}`);
        return this.#end(decision.link, decision.outcome);
      }
    }
  }

  #happen(link: number, what: Happening): void {
    const { negotiation, nowMs } = this;
    if (what === 'attempt') return negotiation.attempt(nowMs, this.#isKnown, 0);
    const there = this.links.get(link);
    if (!there) return;
    switch (what) {
      case 'opened':
        return negotiation.opened(nowMs, link);
      case 'welcomed':
        negotiation.welcomed(nowMs, link);
        return there.carries ? this.#up(link) : this.#later(ROUND_TRIP_MS, link, 'proven');
      case 'proven':
        return this.#up(link);
      case 'refused':
        return this.#end(link, 'refused');
      case 'overdue':
        // It may have answered after all, where it works again by then.
        if (this.#health[there.transport] === 'works') negotiation.heard(nowMs, link);
        else if (this.active === link) negotiation.overdue(link, 0);
    }
  }

  #up(link: number): void {
    const before = this.active;
    this.active = link;
    this.#isKnown = true;
    this.negotiation.up(this.nowMs, link);
    if (before !== undefined && before !== link) this.links.delete(before);
    if (this.#health[this.#link(link).transport] !== 'works') this.#later(1_500, link, 'overdue');
  }

  #end(link: number, outcome: AttemptOutcome): void {
    this.links.delete(link);
    this.negotiation.ended(this.nowMs, link, outcome, '');
    if (this.active === link) this.active = undefined;
    if (this.active !== undefined || this.negotiation.goesOn(false, (other) => this.links.has(other))) return;
    this.links.clear();
    this.negotiation.turn();
    this.negotiation.rest();
    this.#later(500, -1, 'attempt');
  }

  #link(link: number): LinkOf {
    const there = this.links.get(link);
    assert.ok(there, `link ${link} is there`);
    return there;
  }

  #later(afterMs: number, link: number, what: Happening): void {
    this.#agenda.push({ atMs: this.nowMs + afterMs, link, what });
  }
}
