/** The decisions alone, in a world of four transports that break and heal. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Negotiation } from '../../../src/core/negotiation/negotiation.js';
import { defaultTiming } from '../../../src/core/timing.js';
import { type Health, ROUND_TRIP_MS, World, healths, options, seeded, streams } from './world.js';

const alive = () => true;

/** All 64 ways in which three transports can be. */
const everyHealth = healths.flatMap((a) => healths.flatMap((b) => healths.map((c) => [a, b, c] as const)));

describe('whatever is blocked', () => {
  test('a first start is up as fast as a poll', () => {
    for (const health of everyHealth) {
      const world = new World(health);
      world.pass(2 * ROUND_TRIP_MS);
      assert.notEqual(world.on, undefined, health.join());
    }
  });

  test('a session that can poll is never stuck, and heals to the best', () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = seeded(seed);
      const draw = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
      const world = new World([draw(healths), draw(healths), draw(healths)], { random });
      for (let changes = Math.floor(random() * 40); changes > 0; changes--) {
        world.set(draw(streams), draw(healths));
        world.pass(Math.floor(random() * 20_000));
      }
      // Found late, hedged, and answered: or the next attempt's poll is.
      world.pass(8_000);
      assert.notEqual(world.on, undefined, `stuck with seed ${seed}`);
      for (const transport of streams) world.set(transport, 'works');
      world.pass(defaultTiming.reprobeCapMs + defaultTiming.probeMs + 1_000);
      assert.equal(world.on, 'webtransport', `seed ${seed}: ${JSON.stringify(world.decisions.slice(-14))}`);
    }
  });

  test('what is broken for long is asked for less and less', () => {
    for (const health of everyHealth) {
      const world = new World(health);
      world.pass(600_000);
      const early = world.decisions.length;
      world.pass(600_000);
      // Three transports, each at most once in three quarters of the cap, with what it takes to give one up.
      const late = world.decisions.length - early;
      assert.ok(late <= 3 * 3 * 14, `${health.join()}: ${late}`);
    }
  });
});

describe('a first start', () => {
  test('staggers its probes best first, and a failure lets the next begin', () => {
    let world = new World(['hangs', 'works', 'works']);
    world.pass(249);
    assert.equal(world.on, 'polling');
    assert.deepEqual(world.begun, ['polling', 'webtransport']);
    world.pass(1);
    assert.deepEqual(world.begun, ['polling', 'webtransport', 'websocket']);
    world.pass(1_000);
    assert.equal(world.on, 'websocket');
    world = new World(['refused', 'works', 'works']);
    world.pass(ROUND_TRIP_MS);
    assert.deepEqual(world.begun, ['polling', 'websocket']);
  });

  test('begins with the first of the list where polling is not in it, and whoever stands first opens the session', () => {
    const listed = ['webtransport', 'websocket'] as const;
    const transports = listed.map((name) => ({ name, isDuplex: true }));
    const world = new World(['hangs', 'works', 'works'], { transports });
    assert.deepEqual(world.begun, ['webtransport']);
    world.pass(1_000);
    assert.equal(world.on, 'websocket');
  });

  test('begins with what is remembered, and a poll joins it after a quarter of a second of silence', () => {
    const verdict = { transport: 'websocket', atMs: 999_000 } as const;
    const world = new World(['works', 'hangs', 'works'], { verdict });
    world.pass(249);
    assert.deepEqual(world.begun, ['websocket']);
    world.pass(1);
    assert.deepEqual(world.begun, ['websocket', 'polling']);
    world.pass(100);
    assert.equal(world.on, 'polling');
  });

  test('does not wait with the poll once what is remembered has failed', () => {
    const verdict = { transport: 'websocket', atMs: 999_000 } as const;
    const world = new World(['hangs', 'refused', 'works'], { verdict });
    world.pass(ROUND_TRIP_MS);
    assert.deepEqual(world.begun, ['polling']);
  });

  test('forgets what is remembered after a day, and from a clock that was set back', () => {
    const dayMs = 86_400_000;
    const leads = [0, dayMs - 1, dayMs, -1].map((ageMs) => {
      const verdict = { transport: 'websocket', atMs: 2 * dayMs - ageMs } as const;
      return new World(['works', 'works', 'works'], { verdict, wall: () => 2 * dayMs }).begun[0];
    });
    assert.deepEqual(leads, ['websocket', 'websocket', 'polling', 'polling']);
  });

  test('recalls where a remembered transport is', () => {
    const offer = { name: 'webtransport', url: 'https://b.example/' };
    const negotiation = new Negotiation(
      options({ isSecure: false, verdict: { transport: 'webtransport', offer, atMs: 999_000 } }),
    );
    assert.deepEqual(negotiation.offer('webtransport'), offer);
    negotiation.attempt(0, false, 0);
    assert.deepEqual(negotiation.decide(0, alive), { do: 'carry', transport: 'webtransport' });
  });
});

describe('a transport that the platform does not have', () => {
  const reason = 'this browser has no WebTransport';
  const transports = options().transports.map((listed) =>
    listed.name === 'webtransport' ? { ...listed, missing: reason } : listed,
  );

  test('is unsupported from the start, with its reason, and is told to the gateway', () => {
    const { history } = new Negotiation(options({ transports, nowMs: 7 }));
    assert.deepEqual(history.attempts, [
      { transport: 'webtransport', outcome: 'unsupported', reason, tookMs: 0, atMs: 7 },
    ]);
    assert.equal(history.hasUntold, true);
  });

  test('is not tried, whoever offers it or asks for it', () => {
    const offers = [{ name: 'webtransport', url: 'https://b.example/' }];
    const world = new World(['works', 'works', 'works'], {
      transports,
      verdict: { transport: 'webtransport', atMs: 999_000 },
    });
    world.negotiation.offered(0, [...offers, { name: 'websocket' }, { name: 'polling' }]);
    assert.equal(world.negotiation.asked(offers, world.nowMs), undefined);
    assert.equal(world.negotiation.isListed('webtransport'), false);
    world.pass(120_000);
    assert.equal(world.on, 'websocket');
    assert.ok(!world.decisions.some((decision) => 'transport' in decision && decision.transport === 'webtransport'));
  });

  test('is tried all the same where nothing else is listed, so that the session tells why it fails', () => {
    const negotiation = new Negotiation(options({ transports: transports.slice(0, 1) }));
    negotiation.attempt(0, false, 0);
    assert.deepEqual(negotiation.decide(0, alive), { do: 'carry', transport: 'webtransport' });
  });
});

describe('a session that has a link', () => {
  test('leaves a transport that is proven and falls silent soon alone longer each time', () => {
    const world = new World(['hangs', 'works', 'hangs']);
    const waits: number[] = [];
    for (let n = 0; n < 4; n++) {
      world.pass(5_000);
      assert.equal(world.on, 'websocket');
      world.set('websocket', 'swallows');
      world.pass(2_000);
      assert.equal(world.on, 'polling', 'hedged');
      assert.equal(world.negotiation.why, 'websocket fell silent');
      world.set('websocket', 'works');
      const silent = world.nowMs;
      while (world.on === 'polling') world.pass(100);
      waits.push(world.nowMs - silent);
    }
    assert.deepEqual(waits, [...waits].sort((a, b) => a - b));
    assert.ok((waits[3] ?? 0) > 4 * (waits[0] ?? 0), waits.join());
  });

  test('goes where the gateway asks, and stays there', () => {
    const world = new World(['works', 'works', 'works']);
    world.pass(1_000);
    assert.equal(world.on, 'webtransport');
    assert.equal(world.negotiation.asked([{ name: 'sse' }], world.nowMs), 'sse');
    world.open('sse', false);
    world.pass(120_000);
    assert.equal(world.on, 'sse', 'nothing better is looked for');
    assert.equal(world.negotiation.why, 'the gateway asked for it');
    const left = world.negotiation.history.attempts.filter(({ outcome }) => outcome === 'drained');
    assert.deepEqual(left.map(({ transport }) => transport), ['webtransport']);
  });

  test('keeps to what the application asks for by name', () => {
    const world = new World(['works', 'works', 'works']);
    world.pass(1_000);
    world.negotiation.pin('sse');
    world.open('sse', false);
    world.pass(120_000);
    assert.equal(world.on, 'sse');
  });

  test('does not probe what the gateway asks for before it is due', () => {
    const world = new World(['works', 'works', 'works']);
    world.pass(1_000);
    const begun = world.decisions.length;
    world.negotiation.asked([{ name: 'sse' }], world.nowMs + 60_000);
    world.pass(59_999);
    assert.deepEqual(world.decisions.slice(begun), []);
    world.pass(1_000);
    assert.equal(world.on, 'sse');
  });

  test('forgives every failure on another network', () => {
    const world = new World(['hangs', 'hangs', 'hangs']);
    world.pass(300_000);
    for (const transport of streams) world.set(transport, 'works');
    world.negotiation.networkChanged();
    world.decide();
    world.pass(1_000);
    assert.equal(world.on, 'webtransport');
  });

  test('tries nothing while there is no network, and does not hedge what falls silent', () => {
    const world = new World(['hangs', 'works', 'works']);
    world.pass(1_000);
    assert.equal(world.on, 'websocket');
    world.pass(10_000);
    world.negotiation.offline();
    const tried = world.decisions.length;
    world.set('websocket', 'swallows');
    world.pass(1_499);
    world.decisions.splice(tried).forEach(({ do: what }) => assert.equal(what, 'drop', 'a probe may be given up'));
    world.pass(1);
    assert.deepEqual(world.decisions.slice(tried).map(({ do: what }) => what), ['drop']);
    world.negotiation.networkChanged();
    world.set('websocket', 'works');
    world.pass(5_000);
    assert.equal(world.on, 'websocket');
  });

  test('gives a probe up by how far it came', () => {
    const gone = (health: readonly [Health, Health, Health]) => {
      const world = new World(health);
      world.pass(8_000);
      return world.negotiation.history.attempts.map(({ transport, outcome }) => `${transport} ${outcome}`);
    };
    const attempts = gone(['hangs', 'hangs', 'swallows']);
    for (const attempt of ['webtransport blocked', 'websocket hung', 'sse silent']) assert.ok(attempts.includes(attempt), attempts.join());
    // A welcome came down this one, and no nonce.
    const negotiation = new Negotiation(options());
    negotiation.attempt(0, false, 0);
    negotiation.decide(0, alive);
    negotiation.began(0, 0, 'polling', true, true);
    negotiation.welcomed(50, 0);
    negotiation.up(50, 0);
    negotiation.began(50, 1, 'websocket', false, false);
    negotiation.opened(100, 1);
    while (negotiation.decide(100, alive)?.do !== 'greet');
    negotiation.welcomed(150, 1);
    for (const transport of ['webtransport', 'sse'] as const) negotiation.leaveAlone(transport, Infinity);
    assert.equal(negotiation.decide(5_149, alive), undefined);
    assert.deepEqual(negotiation.decide(5_150, alive), { do: 'drop', link: 1, outcome: 'buffered' });
  });

  test('does not probe what was sent away before it may, and remembers it all the same', () => {
    const world = new World(['hangs', 'works', 'works']);
    world.pass(1_000);
    assert.equal(world.on, 'websocket');
    assert.equal(world.negotiation.pollVerdict(5)?.verdict?.transport, 'websocket');
    world.negotiation.began(world.nowMs, 90, 'webtransport', false, false);
    world.negotiation.ended(world.nowMs, 90, 'drained', 'overload');
    world.negotiation.leaveAlone('webtransport', 100_000);
    assert.equal(world.negotiation.notBefore('webtransport'), 100_000);
    assert.equal(world.negotiation.pollVerdict(5), undefined);
  });
});

describe('what is remembered', () => {
  test('is told once when something is proven, with the newest offer, and forgotten when it fails', () => {
    const world = new World(['works', 'works', 'works']);
    assert.equal(world.negotiation.pollVerdict(1), undefined);
    world.pass(1_000);
    const verdict = { transport: 'webtransport', offer: undefined, atMs: 2 };
    assert.deepEqual(world.negotiation.pollVerdict(2), { verdict });
    assert.equal(world.negotiation.pollVerdict(3), undefined);
    const offer = { name: 'webtransport', certificateHashes: ['00'] };
    world.negotiation.offered(world.nowMs, [offer, { name: 'polling' }]);
    assert.deepEqual(world.negotiation.pollVerdict(4), { verdict: { ...verdict, offer, atMs: 4 } });
    world.set('webtransport', 'swallows');
    world.pass(3_000);
    assert.deepEqual(world.negotiation.pollVerdict(5), { verdict: undefined });
  });

  test('is never polling', () => {
    const world = new World(['refused', 'refused', 'refused']);
    world.pass(10_000);
    assert.equal(world.on, 'polling');
    assert.equal(world.negotiation.pollVerdict(1), undefined);
  });
});

describe('a session that comes back', () => {
  test('takes one link, on what it ran last, and a poll joins after a second of silence', () => {
    const world = new World(['refused', 'works', 'works']);
    world.pass(60_000);
    assert.equal(world.on, 'websocket');
    const { negotiation } = world;
    negotiation.ended(world.nowMs, world.active ?? -1, 'lost', 'cut');
    assert.equal(negotiation.goesOn(false, () => false), false);
    negotiation.rest();
    assert.equal(negotiation.decide(world.nowMs, () => false), undefined);
    const now = world.nowMs;
    negotiation.attempt(now, true, 0);
    assert.deepEqual(negotiation.decide(now, alive), { do: 'carry', transport: 'websocket' });
    negotiation.began(now, 100, 'websocket', true, false);
    assert.equal(negotiation.deadline(), now + 1_000);
    assert.equal(negotiation.decide(now + 999, alive), undefined);
    assert.deepEqual(negotiation.decide(now + 1_000, alive), { do: 'carry', transport: 'polling' });
  });

  test('takes turns of what it ran on and a poll while nobody listens', () => {
    const world = new World(['refused', 'works', 'works']);
    world.pass(60_000);
    assert.equal(world.on, 'websocket');
    const { negotiation, nowMs } = world;
    negotiation.ended(nowMs, world.active ?? -1, 'lost', 'cut');
    const leads = [100, 101, 102, 103, 104].map((link) => {
      negotiation.rest();
      negotiation.attempt(nowMs, true, 0);
      const decision = negotiation.decide(nowMs, alive);
      assert.ok(decision?.do === 'carry');
      negotiation.began(nowMs, link, decision.transport, true, false);
      negotiation.ended(nowMs, link, 'refused', 'nobody listens');
      negotiation.turn();
      return decision.transport;
    });
    assert.deepEqual(leads, ['websocket', 'polling', 'websocket', 'polling', 'websocket']);
  });

  test('waits with the poll for as long as the gateway spreads its clients', () => {
    const negotiation = new Negotiation(options());
    negotiation.attempt(0, true, 4_000);
    negotiation.decide(0, alive);
    negotiation.attempt(0, true, 4_000);
    negotiation.turn();
    negotiation.attempt(0, true, 4_000);
    assert.deepEqual(negotiation.decide(0, alive), { do: 'carry', transport: 'webtransport' });
    negotiation.began(0, 0, 'webtransport', true, false);
    assert.equal(negotiation.deadline(), 4_000);
  });

  test('goes through the list, one for each attempt, where its link is refused again and again', () => {
    const negotiation = new Negotiation(options({ negotiates: false }));
    const leads = [0, 1, 2, 3, 4].map((n) => {
      negotiation.attempt(n, n > 0, 0);
      const decision = negotiation.decide(n, alive);
      negotiation.turn();
      return decision?.do === 'carry' && decision.transport;
    });
    assert.deepEqual(leads, ['webtransport', 'websocket', 'sse', 'polling', 'webtransport']);
  });
});
