/** Snapshots and the events after them: nothing between, nothing twice. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Channel, Position, Snapshot, SnapshotReason } from '../../../src/index.js';
import { heard, world, type World } from '../session/world.js';

const at = (offset: number, epoch = 'e1'): Position => ({ epoch, offset });

/** A source of snapshots that answers when it is told to. */
class Source {
  readonly calls: { readonly reason: SnapshotReason; readonly signal: AbortSignal }[] = [];
  #open: { readonly resolve: (snapshot: Snapshot<string>) => void; readonly reject: (error: Error) => void } | undefined;

  readonly fetch = (call: (typeof this.calls)[number]): Promise<Snapshot<string>> => {
    assert.equal(this.#open, undefined, 'there is never more than one at a time');
    this.calls.push(call);
    return new Promise((resolve, reject) => (this.#open = { resolve, reject }));
  };

  get isAsked(): boolean {
    return !!this.#open;
  }

  answer(state: string, position: Position): void {
    this.#open?.resolve({ state, position });
    this.#open = undefined;
  }

  fail(message: string): void {
    this.#open?.reject(new Error(message));
    this.#open = undefined;
  }
}

/** All that a channel tells, as short words. */
function told(room: Channel): string[] {
  const words: string[] = [];
  room.on('event', ({ data }) => words.push(String(data)));
  room.on('gap', ({ to }) => words.push(`gap to ${to.offset}`));
  room.on('snapshot', ({ state }) => words.push(String(state)));
  room.on('freshness', (fresh) => words.push(fresh.name === 'stale' ? `(${fresh.name}: ${fresh.reason})` : `(${fresh.name})`));
  return words;
}

/** A channel of five events, and a session that subscribes to it with snapshots. */
function begin(events = 5): World & { readonly source: Source; readonly room: Channel; readonly words: string[] } {
  const made = world({ latencyMs: 10 });
  for (let n = 1; n <= events; n++) made.gateway.publish('room', n);
  const source = new Source();
  const room = made.open().subscribe('room', { snapshot: source.fetch }) as Channel;
  return { ...made, source, room, words: told(room) };
}

test('a snapshot is fetched at once, beside the subscription, and told before the events after it', async () => {
  const { gateway, clock, source, room, words } = begin();
  await clock.advance(0);
  assert.deepEqual(
    source.calls.map(({ reason }) => reason),
    ['first'],
  );
  await clock.advance(1_000);
  gateway.publish('room', 6);
  gateway.publish('room', 7);
  await clock.advance(100);
  assert.deepEqual([words, room.freshness], [[], { name: 'loading' }]);
  source.answer('six', at(6));
  await clock.advance(0);
  gateway.publish('room', 8);
  await clock.advance(100);
  assert.deepEqual(words, ['six', '7', '(live)', '8']);
  assert.deepEqual(room.position, at(8));
});

test('a snapshot that is older than the subscription is filled up from the events before it', async () => {
  const { clock, source, words } = begin();
  await clock.advance(0);
  source.answer('three', at(3));
  await clock.advance(1_000);
  assert.deepEqual(words, ['three', '(live)', '4', '5']);
  assert.equal(source.calls.length, 1);
});

test('a snapshot that is older than that is fetched once more', async () => {
  const { clock, source, words } = begin(30);
  await clock.advance(0);
  source.answer('three', at(3));
  await clock.advance(1_000);
  assert.deepEqual(
    source.calls.map(({ reason }) => reason),
    ['first', 'first'],
  );
  source.answer('thirty', at(30));
  await clock.advance(0);
  assert.deepEqual(words, ['thirty', '(live)']);
});

test('a snapshot that is ahead of the subscription drops the events that it has', async () => {
  const { gateway, clock, source, room, words } = begin();
  await clock.advance(1_000);
  source.answer('eight', at(8));
  await clock.advance(0);
  assert.deepEqual(room.position, at(8));
  for (let n = 6; n <= 10; n++) gateway.publish('room', n);
  await clock.advance(100);
  assert.deepEqual(words, ['eight', '(live)', '9', '10']);
});

test('after a gap the view is stale, events wait, and another snapshot is fetched', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('five', at(5));
  await clock.advance(0);
  gateway.gap('room', { events: 10 });
  gateway.publish('room', 16);
  gateway.publish('room', 17);
  await clock.advance(100);
  assert.deepEqual(words, ['five', '(live)', 'gap to 15', '(stale: gap)']);
  assert.equal(source.calls[1]?.reason, 'gap');
  source.answer('sixteen', at(16));
  await clock.advance(0);
  assert.deepEqual(words.slice(4), ['sixteen', '17', '(live)']);
});

test('a gap that newer events stand for is told, and leaves the view as it is', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('five', at(5));
  await clock.advance(0);
  gateway.gap('room', { events: 10, conflated: true });
  gateway.publish('room', 16);
  await clock.advance(100);
  assert.deepEqual(words, ['five', '(live)', 'gap to 15', '16']);
  assert.equal(source.calls.length, 1, 'no other snapshot is fetched');
});

test('a gap that newer events stand for is nothing to a view that waits for its snapshot', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  gateway.gap('room', { events: 10, conflated: true });
  gateway.publish('room', 16);
  await clock.advance(100);
  source.answer('nine', at(9));
  await clock.advance(0);
  assert.deepEqual(words, ['nine', '16', '(live)']);
  assert.equal(source.calls.length, 1);
});

test('a gap that the snapshot covers is none', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('twenty', at(20));
  await clock.advance(0);
  gateway.gap('room', { events: 15 });
  gateway.publish('room', 21);
  await clock.advance(100);
  assert.deepEqual(words, ['twenty', '(live)', '21']);
});

test('a newer gap restarts the fetch: the one before is aborted, and never runs beside the next', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('five', at(5));
  await clock.advance(0);
  gateway.gap('room');
  await clock.advance(100);
  gateway.gap('room');
  await clock.advance(100);
  assert.equal(source.calls[1]?.signal.aborted, true);
  assert.equal(source.calls.length, 2);
  source.fail('aborted');
  await clock.advance(0);
  assert.equal(source.calls.length, 3, 'at once');
  source.answer('seven', at(7));
  await clock.advance(0);
  assert.deepEqual(words.slice(2), ['gap to 6', '(stale: gap)', 'gap to 7', 'seven', '(live)']);
});

test('a fetch that heeds no signal may be good all the same', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('five', at(5));
  await clock.advance(0);
  gateway.gap('room');
  await clock.advance(100);
  gateway.gap('room');
  await clock.advance(100);
  source.answer('seven', at(7));
  await clock.advance(0);
  assert.deepEqual(words.slice(-2), ['seven', '(live)']);
  assert.equal(source.calls.length, 2);
});

test('a fetch that throws is tried again, further apart each time, and the freshness says why', async () => {
  const { gateway, clock, source, room } = begin();
  await clock.advance(1_000);
  source.fail('no database');
  await clock.advance(0);
  assert.deepEqual(room.freshness, { name: 'loading', error: new Error('no database') });
  const waits: number[] = [];
  for (let round = 0; round < 8; round++) {
    const since = clock.now();
    while (!source.isAsked) await clock.advance(100);
    waits.push(clock.now() - since);
    source.fail('no database');
    await clock.advance(0);
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
  await clock.advance(15_000);
  source.answer('five', at(5));
  await clock.advance(0);
  assert.deepEqual(room.freshness, { name: 'live' });
  gateway.gap('room');
  await clock.advance(100);
  const sinceMs = clock.wall() - 90;
  source.fail('again');
  await clock.advance(0);
  assert.deepEqual(room.freshness, { name: 'stale', sinceMs, reason: 'snapshot', error: new Error('again') });
});

test('a snapshot that is none has failed: the freshness says what it has to be, and it is tried again', async () => {
  const answers: unknown[] = [undefined, null, { error: 'x' }, { state: 1 }, { state: 1, position: { epoch: 5, offset: 'x' } }];
  for (const answer of [...answers, { state: 1, position: { epoch: 'e1', offset: -1 } }]) {
    for (const latencyMs of [0, 100]) {
      const { clock, open } = world({ latencyMs });
      let calls = 0;
      const good = { state: 'good', position: at(0) };
      const room = open().subscribe('room', { snapshot: async () => (calls++ ? good : (answer as typeof good)) });
      await clock.advance(1);
      const { name, error } = room.freshness as { name: string; error?: Error };
      assert.deepEqual([name, error?.name, calls], ['loading', 'TypeError', 1]);
      assert.match(error?.message ?? '', /^a snapshot is \{ state, position: \{ epoch, offset \} \}, not /);
      await clock.advance(1_000);
      assert.deepEqual([room.freshness, calls], [{ name: 'live' }, 2]);
    }
  }
});

test('a source that stays behind is asked less and less', async () => {
  const { clock, source } = begin(30);
  await clock.advance(1_000);
  const times: number[] = [];
  for (let round = 0; round < 4; round++) {
    times.push(clock.now());
    source.answer('old', at(2));
    await clock.advance(0);
    while (!source.isAsked) await clock.advance(100);
  }
  assert.deepEqual(
    times.map((time) => time - (times[0] ?? 0)),
    [0, 0, 500, 1_500],
  );
});

test('a snapshot of another epoch than the events is as good as none: it is fetched again', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('five', at(5));
  await clock.advance(0);
  gateway.gap('room', { newEpoch: true });
  gateway.publish('room', 'new');
  await clock.advance(100);
  assert.deepEqual(words.slice(2), ['gap to 0', '(stale: gap)']);
  // Its source has not heard of the new epoch, though its offset is higher.
  source.answer('old', at(9));
  await clock.advance(0);
  assert.equal(source.calls.length, 3);
  source.answer('empty', at(0, 'e2'));
  await clock.advance(0);
  assert.deepEqual(words.slice(4), ['empty', 'new', '(live)']);
});

test('a session that is lost makes the view stale, until its channel goes on', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  source.answer('five', at(5));
  await clock.advance(0);
  gateway.loseSessions();
  gateway.publish('room', 6);
  await clock.advance(5_000);
  assert.deepEqual(words.slice(2), ['(stale: recovering)', '6', '(live)']);
  assert.equal(source.calls.length, 1, 'nothing is missing');
});

test('so many events wait for a snapshot, and no more: it has to have what was dropped', async () => {
  const { gateway, clock, source, words } = begin();
  await clock.advance(1_000);
  for (let n = 6; n <= 1_040; n++) {
    gateway.publish('room', n);
    if (n % 100 === 0) await clock.advance(1_000);
  }
  await clock.advance(1_000);
  source.answer('seven', at(7));
  await clock.advance(0);
  assert.deepEqual(words, []);
  source.answer('sixteen', at(16));
  await clock.advance(0);
  assert.deepEqual(words.slice(0, 2), ['sixteen', '17']);
  assert.equal(words.length, 1 + 1_024 + 1);
});

test('whoever joins late makes the snapshot be told again, and no event twice', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const source = new Source();
  const words = told(session.subscribe('room', { snapshot: source.fetch }));
  await clock.advance(1_000);
  source.answer('zero', at(0));
  gateway.publish('room', 1);
  await clock.advance(100);
  const late = told(session.subscribe('room', { snapshot: source.fetch }));
  await clock.advance(0);
  assert.equal(source.calls[1]?.reason, 'refresh');
  gateway.publish('room', 2);
  await clock.advance(100);
  source.answer('one', at(1));
  await clock.advance(0);
  assert.deepEqual(
    words.filter((word) => word !== '(live)'),
    ['zero', '1', 'one', '2'],
  );
  assert.deepEqual(late, ['one', '2']);
});

test('leaving aborts the fetch', async () => {
  const { clock, source, room } = begin();
  await clock.advance(1_000);
  void room.leave();
  assert.equal(source.calls[0]?.signal.aborted, true);
  source.answer('five', at(5));
  await clock.advance(60_000);
  assert.equal(source.calls.length, 1);
});

test('in a loop a snapshot comes before the events after it, and a gap before the snapshot that heals it', async () => {
  const { gateway, clock, source, room } = begin();
  const loop: string[] = [];
  void (async () => {
    for await (const happening of room) {
      loop.push(happening.type === 'event' ? String(happening.data) : happening.type === 'gap' ? 'gap' : String(happening.state));
    }
  })();
  await clock.advance(1_000);
  source.answer('four', at(4));
  await clock.advance(0);
  gateway.gap('room');
  await clock.advance(100);
  source.answer('six', at(6));
  gateway.publish('room', 7);
  await clock.advance(100);
  assert.deepEqual(loop, ['four', '5', 'gap', 'six', '7']);
});

test('without a snapshot a channel is live as soon as it is subscribed, and stale while there is no link', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const room = session.subscribe('room');
  const fresh = heard((hear) => room.on('freshness', hear));
  await clock.advance(1_000);
  gateway.refuse({ delayMs: 3_000 });
  gateway.cut();
  await clock.advance(0);
  const sinceMs = clock.wall();
  gateway.accept();
  await clock.advance(10_000);
  assert.deepEqual(fresh, [{ name: 'live' }, { name: 'stale', sinceMs, reason: 'recovering' }, { name: 'live' }]);
});

test('a channel is not live before it is renewed in the session that follows, though a link stands', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open({ transports: gateway.transports.filter(({ name }) => name === 'websocket') });
  const words: string[] = [];
  session.on('opened', () => words.push('opened'));
  const room = session.subscribe('room');
  room.on('freshness', ({ name }) => words.push(name));
  room.on('subscribed', () => words.push('subscribed'));
  await clock.advance(1_000);
  gateway.loseSessions();
  await clock.advance(5_000);
  assert.deepEqual(words, ['opened', 'subscribed', 'live', 'stale', 'opened', 'subscribed', 'live']);
});
