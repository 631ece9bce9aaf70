/** The table of `docs/negotiation.md` and what it says of blame, rule by rule. */

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { Negotiation, type NegotiationOptions } from '../../../src/core/negotiation/negotiation.js';
import { defaultTiming } from '../../../src/core/timing.js';
import type { AttemptOutcome, TransportName } from '../../../src/protocol.js';
import { isDuplex, options } from './world.js';

/** A conductor that opens what it is told to, and does nothing else by itself. */
class Bench {
  readonly negotiation: Negotiation;
  nowMs = 0;
  readonly #links = new Map<number, TransportName>();
  #next = 1;

  constructor(change: Partial<NegotiationOptions> = {}) {
    this.negotiation = new Negotiation(options({ random: () => 0, ...change }));
  }

  /** What is decided now, until nothing more is. */
  get decided(): string[] {
    const decided: string[] = [];
    for (;;) {
      const decision = this.negotiation.decide(this.nowMs, (link) => this.#links.has(link));
      if (!decision) return decided;
      if (decision.do === 'carry' || decision.do === 'probe') {
        decided.push(`${decision.do} ${decision.transport}`);
        this.open(decision.transport, decision.do === 'carry');
      } else if (decision.do === 'greet') {
        decided.push(`greet ${this.#links.get(decision.link)}${decision.attach ? ' with attach' : ''}`);
      } else {
        decided.push(`drop ${this.#links.get(decision.link)}: ${decision.outcome}`);
        this.end(this.#links.get(decision.link), decision.outcome);
      }
    }
  }

  open(transport: TransportName, carries: boolean): void {
    this.#links.set(this.#next, transport);
    this.negotiation.began(this.nowMs, this.#next++, transport, carries, !isDuplex(transport));
  }

  /** The newest link on a transport. */
  on(transport: TransportName | undefined): number {
    const found = [...this.#links].filter(([, other]) => other === transport).at(-1);
    assert.ok(found, `a link on ${transport}`);
    return found[0];
  }

  opened(transport: TransportName): void {
    this.negotiation.opened(this.nowMs, this.on(transport));
  }

  /** A link is welcomed, and carries the session. */
  up(transport: TransportName): void {
    const link = this.on(transport);
    this.negotiation.welcomed(this.nowMs, link);
    this.negotiation.up(this.nowMs, link);
  }

  end(transport: TransportName | undefined, outcome: AttemptOutcome): void {
    const link = this.on(transport);
    this.#links.delete(link);
    this.negotiation.ended(this.nowMs, link, outcome, '');
  }

  goesOn(isAdvised: boolean): boolean {
    return this.negotiation.goesOn(isAdvised, (link) => this.#links.has(link));
  }

  /** Nothing carries the session any more, and it comes back now. */
  comeBack(): void {
    this.negotiation.rest();
    this.negotiation.attempt(this.nowMs, true, 0);
  }

  /** How long a transport is left alone from now on. */
  aloneMs(transport: TransportName): number {
    return Math.max(0, this.negotiation.notBefore(transport) - this.nowMs);
  }

  /** A session that is up on a WebSocket, of a client that knows no WebTransport. */
  static onWebSocket(): Bench {
    const bench = new Bench({ transports: options().transports.slice(1) });
    bench.negotiation.attempt(0, false, 0);
    assert.deepEqual(bench.decided, ['carry polling', 'probe websocket']);
    bench.up('polling');
    bench.opened('websocket');
    assert.deepEqual(bench.decided, ['greet websocket']);
    bench.up('websocket');
    assert.deepEqual(bench.decided, []);
    return bench;
  }
}

describe('opening, where nothing is known', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
    bench.negotiation.attempt(0, false, 0);
    assert.deepEqual(bench.decided, ['carry polling', 'probe webtransport']);
  });

  test('the handshake of a probe is done, and it keeps still while a carrier is under way', () => {
    bench.opened('webtransport');
    assert.deepEqual(bench.decided, []);
    bench.up('polling');
    assert.deepEqual(bench.decided, ['greet webtransport']);
  });

  test('where no carrier is left, the best that stands opens the session, and the others wait for it', () => {
    bench.nowMs = 250;
    assert.deepEqual(bench.decided, ['probe websocket']);
    bench.opened('websocket');
    bench.opened('webtransport');
    bench.negotiation.asked([{ name: 'websocket' }], bench.nowMs);
    bench.end('polling', 'lost');
    assert.deepEqual(bench.decided, ['greet websocket with attach']);
  });

  test('a probe that stands may still carry a session, unless the gateway said when to come back', () => {
    bench.end('polling', 'lost');
    assert.equal(bench.goesOn(false), false, 'it does not stand yet');
    bench.opened('webtransport');
    assert.equal(bench.goesOn(false), true);
    assert.equal(bench.goesOn(true), false);
  });

  test('an event stream is not probed: the token that it has to state is not there yet', () => {
    const streams = options().transports.slice(2);
    bench = new Bench({ transports: streams });
    bench.negotiation.attempt(0, false, 0);
    assert.deepEqual(bench.decided, ['carry polling']);
    bench.nowMs = 10_000;
    assert.deepEqual(bench.decided, []);
    bench.up('polling');
    assert.deepEqual(bench.decided, ['probe sse']);
  });
});

describe('opening, led', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = Bench.onWebSocket();
    bench.nowMs = 60_000;
    bench.end('websocket', 'lost');
    bench.comeBack();
    assert.deepEqual(bench.decided, ['carry websocket']);
  });

  test('silence is counted from what was heard last', () => {
    bench.nowMs += 900;
    bench.opened('websocket');
    assert.deepEqual(bench.decided, ['greet websocket with attach']);
    bench.nowMs += 999;
    assert.deepEqual(bench.decided, []);
    bench.nowMs += 1;
    assert.deepEqual(bench.decided, ['carry polling']);
  });

  test('a lead that has not said hello when the poll is up says it as a probe', () => {
    bench.nowMs += 1_000;
    assert.deepEqual(bench.decided, ['carry polling']);
    bench.up('polling');
    bench.opened('websocket');
    assert.deepEqual(bench.decided, ['greet websocket']);
  });

  test('a lead whose attach the poll has overtaken is late', () => {
    bench.opened('websocket');
    void bench.decided;
    bench.nowMs += 1_000;
    assert.deepEqual(bench.decided, ['carry polling']);
    bench.up('polling');
    assert.equal(bench.decided[0], 'drop websocket: late');
    assert.equal(bench.aloneMs('websocket'), 0, 'and not blamed');
  });

  test('a carrier that fails is not blamed: nothing else worked either', () => {
    bench.end('websocket', 'refused');
    assert.equal(bench.aloneMs('websocket'), 0);
  });

  test('a poll that leads is joined by no other', () => {
    bench.end('websocket', 'lost');
    bench.negotiation.turn();
    bench.comeBack();
    assert.deepEqual(bench.decided, ['carry polling']);
    bench.nowMs += 5_000;
    assert.deepEqual(bench.decided, []);
  });

  test('what is failing does not lead', () => {
    bench.up('websocket');
    bench.end('websocket', 'lost');
    bench.comeBack();
    assert.deepEqual(bench.decided, ['carry polling']);
  });

  test('a client that does not negotiate comes back on what it ran last', () => {
    bench = new Bench({ negotiates: false });
    bench.negotiation.attempt(0, false, 0);
    void bench.decided;
    bench.end('webtransport', 'refused');
    bench.negotiation.turn();
    bench.comeBack();
    assert.deepEqual(bench.decided, ['carry websocket']);
    bench.up('websocket');
    bench.end('websocket', 'lost');
    bench.comeBack();
    assert.deepEqual(bench.decided, ['carry websocket']);
  });
});

describe('up', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = Bench.onWebSocket();
  });

  test('a link that is late and then heard is not hedged', () => {
    bench.negotiation.overdue(bench.on('websocket'), 0);
    bench.negotiation.heard(0, bench.on('websocket'));
    assert.deepEqual(bench.decided, []);
  });

  test('a link is hedged once, and given up where it is still late', () => {
    bench.negotiation.overdue(bench.on('websocket'), 0);
    assert.deepEqual(bench.decided, ['carry polling']);
    bench.negotiation.overdue(bench.on('websocket'), 0);
    assert.equal(bench.decided[0], 'drop websocket: silent');
  });

  test('a link that was slow, while nothing came of the poll, may be hedged again', () => {
    bench.negotiation.overdue(bench.on('websocket'), 0);
    void bench.decided;
    bench.negotiation.heard(0, bench.on('websocket'));
    bench.end('polling', 'lost');
    bench.negotiation.heard(0, bench.on('websocket'));
    bench.negotiation.overdue(bench.on('websocket'), 0);
    assert.deepEqual(bench.decided, ['carry polling']);
  });

  test('a probe that is no better than the link is late', () => {
    bench.open('sse', false);
    assert.deepEqual(bench.decided, ['drop sse: late']);
  });

  test('a probe has one stagger more for its handshake than for its hello, since its transport knows better why', () => {
    bench = new Bench({ transports: options().transports.slice(1) });
    bench.negotiation.attempt(0, false, 0);
    void bench.decided;
    bench.up('polling');
    bench.negotiation.leaveAlone('sse', Infinity);
    bench.nowMs = 5_249;
    assert.deepEqual(bench.decided, []);
    bench.nowMs = 5_250;
    assert.deepEqual(bench.decided, ['drop websocket: hung']);
  });

  test('a probe whose handshake took long keeps the network to itself for as long', () => {
    bench = new Bench();
    bench.negotiation.attempt(0, false, 0);
    void bench.decided;
    bench.nowMs = 10;
    bench.end('webtransport', 'refused');
    assert.deepEqual(bench.decided, ['probe websocket']);
    bench.up('polling');
    bench.negotiation.leaveAlone('webtransport', Infinity);
    bench.nowMs = 200;
    bench.opened('websocket');
    assert.deepEqual(bench.decided, ['greet websocket']);
    assert.equal(bench.negotiation.deadline(), 450, 'a quarter of a second at least');
    bench.end('websocket', 'refused');
    bench.negotiation.leaveAlone('sse', 10_000);
    bench.nowMs = 10_000;
    bench.negotiation.networkChanged();
    bench.negotiation.leaveAlone('webtransport', Infinity);
    assert.deepEqual(bench.decided, ['probe websocket']);
    bench.negotiation.leaveAlone('sse', Infinity);
    bench.nowMs = 10_900;
    bench.opened('websocket');
    assert.deepEqual(bench.decided, ['greet websocket']);
    bench.negotiation.networkChanged();
    bench.negotiation.leaveAlone('webtransport', Infinity);
    assert.equal(bench.negotiation.deadline(), 10_900 + 900);
  });

  test('what the gateway asked for is over with the move, and with the session', () => {
    bench.negotiation.asked([{ name: 'sse' }], bench.nowMs);
    bench.open('sse', false);
    bench.up('sse');
    bench.negotiation.pin('websocket');
    bench.open('websocket', false);
    bench.up('websocket');
    const ends = bench.negotiation.history.attempts.filter(({ outcome }) => outcome !== 'proven').map(({ transport, outcome }) => `${transport} ${outcome}`);
    assert.deepEqual(ends, ['polling preferred', 'websocket drained', 'sse preferred']);

    bench = Bench.onWebSocket();
    bench.negotiation.asked([{ name: 'sse' }], bench.nowMs);
    bench.negotiation.beginAnew();
    assert.deepEqual(bench.decided, [], 'the WebSocket is the best again');
  });

  test('what the gateway says of where to move to is kept, a certificate alone too', () => {
    const offer = { name: 'sse', certificateHashes: ['00'] };
    bench.negotiation.asked([offer], bench.nowMs);
    assert.deepEqual(bench.negotiation.offer('sse'), offer);
    bench.negotiation.asked([{ name: 'sse' }], bench.nowMs);
    assert.deepEqual(bench.negotiation.offer('sse'), offer, 'a name alone says nothing');
  });

  test('the time of a poll, which a new connection may be in, counts only while nothing better is known', () => {
    for (let n = 0; n < 20; n++) bench.negotiation.pace.measure(50);
    bench.open('polling', true);
    bench.nowMs += 4_000;
    bench.negotiation.welcomed(bench.nowMs, bench.on('polling'));
    assert.equal(bench.negotiation.pace.late(defaultTiming), 750);
  });
});

describe('blame', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = Bench.onWebSocket();
  });

  test('is for a link that broke before it settled, unless it had been idle for as long as it would be left alone', () => {
    for (const [idleMs, aloneMs] of [[4_999, 5_000], [5_000, 0]] as const) {
      bench = Bench.onWebSocket();
      bench.nowMs = defaultTiming.settledMs - 1;
      bench.negotiation.heard(bench.nowMs - idleMs, bench.on('websocket'));
      bench.end('websocket', 'lost');
      assert.equal(bench.aloneMs('websocket'), aloneMs);
    }
  });

  test('is not for one that broke after a long life, whose earlier failures are forgotten', () => {
    bench.end('websocket', 'lost');
    bench.comeBack();
    void bench.decided;
    bench.up('polling');
    bench.negotiation.leaveAlone('sse', Infinity);
    bench.nowMs = 5_000;
    assert.deepEqual(bench.decided, ['probe websocket']);
    bench.opened('websocket');
    void bench.decided;
    bench.up('websocket');
    bench.nowMs += defaultTiming.settledMs;
    bench.end('websocket', 'lost');
    assert.equal(bench.negotiation.notBefore('websocket'), 0);
  });

  test('is for one that fell silent, however long it lived', () => {
    bench.nowMs = 10 * defaultTiming.settledMs;
    bench.end('websocket', 'silent');
    assert.equal(bench.aloneMs('websocket'), 5_000);
  });

  test('is not for one that the gateway sent away', () => {
    bench.end('websocket', 'drained');
    assert.equal(bench.aloneMs('websocket'), 0);
  });

  test('is for a probe that the gateway sent away, and what is remembered stays', () => {
    bench = new Bench({ verdict: { transport: 'webtransport', atMs: 1_000_000 } });
    bench.open('webtransport', false);
    bench.end('webtransport', 'drained');
    assert.equal(bench.aloneMs('webtransport'), 5_000);
    assert.equal(bench.negotiation.pollVerdict(0), undefined);
    bench.open('webtransport', false);
    bench.end('webtransport', 'refused');
    assert.deepEqual(bench.negotiation.pollVerdict(0), { verdict: undefined });
  });

  test('is not for what turned out not to be there: it is not tried until it is offered', () => {
    bench = new Bench();
    bench.negotiation.attempt(0, false, 0);
    void bench.decided;
    bench.end('webtransport', 'unsupported');
    bench.up('polling');
    assert.equal(bench.negotiation.notBefore('webtransport'), 0);
    assert.deepEqual(bench.decided, ['probe websocket']);
    bench.nowMs = 300;
    assert.deepEqual(bench.decided, ['probe sse']);
    bench.nowMs = 600;
    bench.negotiation.offered(600, [{ name: 'webtransport' }, { name: 'websocket' }, { name: 'sse' }, { name: 'polling' }]);
    assert.deepEqual(bench.decided, ['probe webtransport']);
  });

  test('keeps to the later of what the gateway says and what it has said', () => {
    bench.negotiation.leaveAlone('sse', 9_000);
    bench.negotiation.leaveAlone('sse', 4_000);
    assert.equal(bench.negotiation.notBefore('sse'), 9_000);
  });
});
