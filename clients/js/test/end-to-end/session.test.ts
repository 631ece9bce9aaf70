/** Sessions against a real gateway: each transport, every move between them, cuts without end, and a gateway that dies. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { bincode } from '../../src/bincode.js';
import { connect, NotMigrated, OutcomeUnknown, polling, sse, webSocket } from '../../src/index.js';
import type { Channel, ConnectOptions, Gap, Reply, Session, Transport, TransportName } from '../../src/index.js';
import { gateway, type Gateway } from './gateway.js';

const TRANSPORTS = {
  websocket: () => webSocket({ WebSocket }),
  sse: () => sse(),
  polling: () => polling(),
} satisfies Partial<Record<TransportName, () => Transport>>;

type Name = keyof typeof TRANSPORTS;
const NAMES = Object.keys(TRANSPORTS) as Name[];

/** What a channel has told: each event once, in order, but for gaps. */
class Ledger {
  readonly data: unknown[] = [];
  readonly gaps: Gap[] = [];
  readonly faults: string[] = [];
  #offset: number | undefined;
  #look: () => void = () => {};

  constructor(room: Channel) {
    room.on('subscribed', ({ position }) => (this.#offset ??= position.offset));
    room.on('gap', (gap) => {
      this.gaps.push(gap);
      this.#offset = gap.to.offset;
      this.#look();
    });
    room.on('event', ({ position, data }) => {
      if (position.offset !== (this.#offset ?? NaN) + 1) this.faults.push(`${position.offset} came after ${String(this.#offset)}`);
      this.#offset = position.offset;
      this.data.push(data);
      this.#look();
    });
  }

  /** Resolves once this holds. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (holds()) resolve();
      };
      this.#look();
    });
  }
}

/** Resolves when the session is live on this transport. */
function live(session: Session, transport?: TransportName): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      const { state } = session;
      if (state.name === 'live' && (transport === undefined || state.transport === transport)) resolve();
    };
    session.on('state', look);
    look();
  });
}

/** Moves a session. On a machine that is busy a move may come to nothing: then it is asked for again, a few times. */
async function move(session: Session, to: TransportName): Promise<void> {
  for (let tries = 5; ; tries--) {
    await live(session);
    try {
      await session.migrate(to);
      return;
    } catch (error) {
      if (!(error instanceof NotMigrated) || tries === 1) throw error;
    }
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

describe('a session', () => {
  let served: Gateway;
  const sessions: Session[] = [];
  let channels = 0;

  before(async () => (served = await gateway({ set: { 'retention.events': 4_000 } })));
  after(async () => {
    await Promise.all(sessions.map((session) => session.close()));
    await served.stop();
  });

  const open = (options: ConnectOptions): Session => {
    const session = connect(served.url, options);
    sessions.push(session);
    return session;
  };
  const name = (): string => `room:${++channels}`;

  for (const transport of NAMES) {
    for (const codec of ['json', 'bincode'] as const) {
      test(`works over ${transport} in ${codec}: events, replies, bytes, volatiles`, async () => {
        const options = { transports: [TRANSPORTS[transport]()], ...(codec === 'bincode' && { codec: bincode() }) };
        const [session, other] = [open(options), open(options)];
        const channel = name();
        const room = session.subscribe(channel);
        const theirs = other.subscribe(channel);
        const volatile = new Promise((resolve) => room.on('volatile', resolve));
        const events: unknown[] = [];
        const heard = new Promise<void>((resolve) => {
          room.on('event', ({ name, data, bytes, sender }) => {
            events.push([name, data ?? [...(bytes ?? [])], sender?.session]);
            if (events.length === 2) resolve();
          });
        });
        await Promise.all([room.subscribed, theirs.subscribed]);
        const replies = await Promise.all([other.send(channel, { n: 1 }, { name: 'said' }), theirs.send(Uint8Array.of(1, 2))]);
        await heard;
        assert.deepEqual(events, [
          ['said', { n: 1 }, other.id],
          [undefined, [1, 2], other.id],
        ]);
        assert.deepEqual(
          replies.map(({ position }) => position?.offset),
          [1, 2],
        );
        // It is said until it has come: it may be dropped.
        const saying = setInterval(() => theirs.sendVolatile('now'), 20);
        await volatile;
        clearInterval(saying);
        assert.deepEqual(session.state, { name: 'live', transport });
      });
    }
  }

  test('takes part in presence: who comes and goes is told, whatever the transport', async () => {
    const channel = name();
    const [session, ...others] = NAMES.map((transport) => open({ transports: [TRANSPORTS[transport]()] }));
    const room = session?.subscribe(channel, { presence: true });
    const count = (wanted: number): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (room?.members.size === wanted) resolve();
        };
        room?.on('presence', look);
        look();
      });
    await count(1);
    for (const other of others) other.subscribe(channel, { presence: true });
    await count(3);
    const [first] = others;
    await first?.close();
    await count(2);
    assert.equal(room?.members.has(session?.id ?? ''), true);
  });

  test('begins where it can and ends where it is best', async () => {
    const session = open({ transports: NAMES.map((transport) => TRANSPORTS[transport]()) });
    await live(session, 'websocket');
    assert.match(String(session.explain()), /^websocket, because /);
  });

  for (const codec of ['json', 'bincode'] as const) {
    test(`makes every move between transports with events in flight, in ${codec}`, async () => {
      const options = { transports: NAMES.map((transport) => TRANSPORTS[transport]()), ...(codec === 'bincode' && { codec: bincode() }) };
      const [session, other] = [open(options), open(options)];
      const channel = name();
      const ledger = new Ledger(session.subscribe(channel));
      await Promise.all([live(session, 'websocket'), other.ready()]);
      const { id } = session;
      const replies: Promise<Reply>[] = [];
      const saying = setInterval(() => replies.push(other.send(channel, replies.length), session.send(`${channel}:up`, replies.length)), 4);
      // Every ordered pair, as one walk.
      const walk = ['sse', 'polling', 'websocket', 'polling', 'sse', 'websocket'] as const;
      for (const to of [...walk, ...walk, ...walk]) {
        await move(session, to);
      }
      clearInterval(saying);
      await Promise.all(replies);
      await ledger.until(() => ledger.data.length >= replies.length / 2);
      assert.deepEqual(ledger.faults, []);
      assert.deepEqual(
        ledger.data,
        numbers(replies.length / 2).map((n) => 2 * n),
      );
      assert.equal(session.id, id);
      assert.deepEqual(ledger.gaps, []);
    });
  }

  for (const transports of [...NAMES.map((transport) => [transport]), NAMES]) {
    test(`over ${transports.join(', ')}: cut every 50 ms, 300 events and 300 sends arrive once and in order`, async () => {
      const session = open({ transports: transports.map((transport) => TRANSPORTS[transport]()) });
      const other = open({ transports: [TRANSPORTS.websocket()] });
      const channel = name();
      const [down, up] = [new Ledger(session.subscribe(channel)), new Ledger(other.subscribe(`${channel}:up`))];
      await Promise.all([session.ready(), other.ready()]);
      const cutting = setInterval(() => session.cut(), 50);
      const replies: Promise<Reply>[] = [];
      const saying = setInterval(() => {
        const n = replies.length / 2;
        if (n < 300) replies.push(other.send(channel, n), session.send(`${channel}:up`, n));
      }, 3);
      await Promise.all([down.until(() => down.data.length >= 300), up.until(() => up.data.length >= 300)]);
      clearInterval(saying);
      await Promise.all(replies);
      clearInterval(cutting);
      assert.deepEqual([down.faults, up.faults, down.gaps, up.gaps], [[], [], [], []]);
      assert.deepEqual([down.data, up.data], [numbers(300), numbers(300)]);
    });
  }

  test('a slow loop holds the gateway back, and nothing is lost', async () => {
    const options = { transports: [TRANSPORTS.websocket()] };
    const [session, other] = [open(options), open(options)];
    const channel = name();
    const room = session.subscribe(channel);
    await room.subscribed;
    const iterator = room[Symbol.asyncIterator]();
    // More than fit the window, and no more than the log keeps: what the loop has not taken, the gateway does not send.
    await Promise.all(numbers(2_000).map((n) => other.send(channel, n)));
    const data: unknown[] = [];
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      if (next.value.type === 'event') data.push(next.value.data);
      if (data.length === 2_000) break;
    }
    assert.deepEqual(data, numbers(2_000));
  });
});

test('a gateway that died and came back: the outcome of what was said is unknown, a gap says what is gone, and the rest goes on', async () => {
  const first = await gateway();
  const session = connect(first.url, { transports: [TRANSPORTS.websocket(), TRANSPORTS.polling()] });
  const room = session.subscribe('room');
  const ledger = new Ledger(room);
  await session.ready();
  await room.send('before');
  await ledger.until(() => ledger.data.length === 1);
  const lost: unknown[] = [];
  session.on('lost', ({ isFinal }) => lost.push(isFinal));

  await first.stop();
  // Written to nobody: it is said to the gateway that comes next, which is not the one that it was said to.
  const said = Array.from({ length: 3 }, (_, n) => room.send(n).catch((error: unknown) => error));
  const second = await gateway({ listen: first.url.host });
  await ledger.until(() => ledger.gaps.length === 1);
  const outcomes = await Promise.all(said);
  assert.ok(outcomes.every((outcome) => outcome instanceof OutcomeUnknown || (outcome as Reply).position));
  await room.send('after');
  await ledger.until(() => ledger.data.at(-1) === 'after');
  assert.deepEqual([lost, ledger.gaps[0]?.reason, ledger.faults], [[false], 'epoch', []]);
  await session.close();
  await second.stop();
});
