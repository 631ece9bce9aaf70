/** One session over several pages: reloads, duplicated tabs, the page cache, and storage that refuses. */

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import { type Keeper, type Tab, keeper } from '../../../src/browser/reload.js';
import type { Saved } from '../../../src/core/output.js';
import { FakeClock, FakeLocks, FakeStorage, idle, late } from './fakes.js';

const KEY = 'throughline:default:https://a.example/live/';
const HANDOVER_MS = 500;

const saved: Saved = {
  known: { session: 's1', token: 'secret', incarnation: 1 },
  attach: 7,
  after: 12,
  low: 3,
  commands: [
    { type: 'send', channel: 'a', data: { n: 1 }, id: 'x', meta: { m: 'n' } },
    { type: 'noop' },
    { type: 'send', channel: 'b', bytes: new Uint8Array([0, 255, 7]) },
  ],
  said: 4,
  unkept: [6],
  atMs: 1_000_000.25,
};

let clock: FakeClock;
let storage: FakeStorage;
let locks: FakeLocks;

beforeEach(() => {
  clock = new FakeClock();
  storage = new FakeStorage();
  locks = new FakeLocks();
});

function page(tab: Omit<Tab, 'keys'> = { storage, locks }): Keeper {
  return keeper({ keep: 'tab', name: 'default', base: new URL('https://a.example/live/'), clock, tab: { keys: new Map(), ...tab } });
}

/** A page that keeps its session and has its lock. */
async function living(tab?: Omit<Tab, 'keys'>): Promise<Keeper> {
  const living = page(tab);
  living.keep(saved);
  await idle();
  return living;
}

describe('a first visit', () => {
  test('waits for nothing and locks nothing', async () => {
    assert.equal(await page().take(), undefined);
    assert.deepEqual([locks.requests, clock.timers], [0, 0]);
  });

  test('keeps its session under its name and address, and under the lock of that session', async () => {
    await living();
    assert.deepEqual([...storage.items.keys()], [KEY]);
    assert.deepEqual([...locks.held], ['throughline:s1']);
  });

  test('waits for the lock of its own session for as long as it takes', async () => {
    const release = await hold();
    await living();
    clock.advance(60_000);
    release();
    await idle();
    assert.deepEqual([...locks.held], ['throughline:s1']);
  });
});

/** Holds the lock of the session, as a document that is not gone yet; returns how to let it go. */
async function hold(): Promise<() => void> {
  let release = (): void => {};
  void locks.request('throughline:s1', { signal: new AbortController().signal }, () => new Promise((over) => (release = over)));
  await idle();
  return release;
}

describe('a page that is loaded again', () => {
  test('gets exactly what was kept, bytes too', async () => {
    (await living()).leave();
    assert.deepEqual(await page().take(), saved);
    assert.deepEqual([...locks.held], ['throughline:s1']);
    assert.equal(clock.timers, 0);
  });

  test('can be loaded again before it had anything to say', async () => {
    (await living()).leave();
    const second = page();
    await second.take();
    second.leave();
    assert.deepEqual(await page().take(), saved);
  });

  test('asks for the lock once more when its time is over: the browser may be later with it than with a timer', async () => {
    (await living()).leave();
    await idle();
    const taking = page({ storage, locks: late(locks) }).take();
    await idle();
    clock.advance(HANDOVER_MS);
    assert.deepEqual(await taking, saved);
    assert.deepEqual([...locks.held], ['throughline:s1']);
  });

  test('waits for the lock of the document that is dying', async () => {
    (await living()).leave();
    await idle();
    const die = await hold();
    const taking = page().take();
    await idle();
    clock.advance(HANDOVER_MS - 1);
    die();
    assert.deepEqual(await taking, saved);
    assert.equal(clock.timers, 0);
  });

  test('does not wait for longer than that', async () => {
    (await living()).leave();
    await idle();
    await hold();
    const taking = page().take();
    await idle();
    clock.advance(HANDOVER_MS);
    assert.equal(await taking, undefined);
    assert.equal(storage.items.size, 0);
  });

  test('goes on after a crash: nobody has left the session, and nobody has its lock', async () => {
    await living();
    locks = new FakeLocks();
    const taking = page().take();
    await idle();
    assert.equal(locks.held.size, 0, 'whoever it was left to goes first');
    clock.advance(HANDOVER_MS);
    assert.deepEqual(await taking, saved);
    assert.deepEqual([...locks.held], ['throughline:s1']);
  });

  test('keeps another session under a lock of its own', async () => {
    const reloaded = await living();
    reloaded.keep({ ...saved, known: { session: 's2', token: 'secret', incarnation: 1 } });
    await idle();
    assert.deepEqual([...locks.held], ['throughline:s2']);
    reloaded.leave();
    assert.equal((await page().take())?.known?.session, 's2');
  });

  test('finds nothing once the session is over', async () => {
    (await living()).keep(undefined);
    await idle();
    assert.deepEqual([storage.items.size, locks.held.size], [0, 0]);
  });
});

describe('a page that is loaded again before there was a session', () => {
  const { known: _, ...unsaid } = saved;

  test('gets what was left, once, and needs no lock', async () => {
    const first = page();
    first.keep(unsaid);
    first.leave();
    const second = page();
    assert.deepEqual(await second.take(), unsaid);
    assert.equal(locks.requests, 0);
    assert.equal(await page().take(), undefined, 'a copy says nothing a second time');
  });

  test('gets it also where the page has come back from the cache meanwhile, and left again', async () => {
    const first = page();
    first.keep(unsaid);
    first.leave();
    assert.ok(await first.comeBack());
    assert.match(storage.items.get(KEY) ?? '', /"isLeft":false/);
    first.leave();
    assert.deepEqual(await page().take(), unsaid);
  });

  test('keeps the session that comes of it under its lock', async () => {
    const first = page();
    first.keep(unsaid);
    first.keep(saved);
    await idle();
    assert.deepEqual([...locks.held], ['throughline:s1']);
  });
});

describe('a duplicated tab', () => {
  test('does not get the session, and forgets its copy at once, while the original goes on', async () => {
    const original = await living();
    const copy = new FakeStorage(storage);
    assert.equal(await page({ storage: copy, locks }).take(), undefined);
    assert.deepEqual([copy.items.size, clock.timers], [0, 0]);
    original.leave();
    assert.deepEqual(await page().take(), saved);
  });

  test('does not get the session while the original is between two documents', async () => {
    const original = await living();
    const copy = new FakeStorage(storage);
    original.leave();
    await idle();
    const taken = page({ storage: copy, locks }).take();
    await idle();
    assert.deepEqual(await page().take(), saved, 'its own next page has it at once');
    clock.advance(HANDOVER_MS);
    assert.equal(await taken, undefined);
    assert.equal(copy.items.size, 0);
  });
});

describe('the page cache', () => {
  test('is entered without the lock, which is taken again', async () => {
    const cached = await living();
    cached.leave();
    await idle();
    assert.equal(locks.held.size, 0);
    assert.ok(await cached.comeBack());
    assert.equal(locks.held.size, 1);
    const later = { ...saved, after: 99 };
    cached.keep(later);
    cached.leave();
    assert.deepEqual(await page().take(), later);
  });

  test('gives back a page whose session went on in the next page, and which does not keep that one any more', async () => {
    const cached = await living();
    cached.leave();
    const next = page();
    await next.take();
    const further = { ...saved, attach: 1_000_008 };
    next.keep(further);
    next.leave();
    assert.equal(await cached.comeBack(), false);
    cached.keep({ ...saved, after: 13 });
    assert.deepEqual(await page().take(), further);
    assert.equal(cached.status, 'not kept: it went on in another page');
    cached.keep({ ...saved, known: { session: 's2', token: 'secret', incarnation: 1 } });
    assert.equal(cached.status, 'kept in this tab');
  });

  test('gives back a page whose session was taken by a copy', async () => {
    const cached = await living();
    cached.leave();
    const copy = new FakeStorage(storage);
    await idle();
    assert.deepEqual(await page({ storage: copy, locks }).take(), saved);
    const comingBack = cached.comeBack();
    await idle();
    clock.advance(HANDOVER_MS);
    assert.equal(await comingBack, false);
    const writes = storage.writes;
    cached.keep({ ...saved, after: 13 });
    assert.equal(storage.writes, writes, 'not kept');
    cached.keep({ ...saved, known: { session: 's2', token: 'secret', incarnation: 1 } });
    await idle();
    assert.ok(locks.held.has('throughline:s2'), 'the session after that is kept');
    assert.ok(locks.held.has('throughline:s1'), 'and the other is still that of the copy');
  });
});

describe('without Web Locks', () => {
  test('a record is used once the page before has left it', async () => {
    (await living({ storage })).leave();
    assert.deepEqual(await page({ storage }).take(), saved);
  });

  test('a record of a page that lives is forgotten, as is that of one that crashed', async () => {
    await living({ storage });
    const copy = new FakeStorage(storage);
    assert.equal(await page({ storage: copy }).take(), undefined);
    assert.equal(copy.items.size, 0);
  });

  test('taking it takes the mark back, so that a copy made from then on is none', async () => {
    (await living({ storage })).leave();
    await page({ storage }).take();
    assert.equal(await page({ storage: new FakeStorage(storage) }).take(), undefined);
  });

  test('a page from the cache goes on, and is no copy\'s any more', async () => {
    const cached = await living({ storage });
    cached.leave();
    await cached.comeBack();
    assert.equal(await page({ storage: new FakeStorage(storage) }).take(), undefined);
    cached.leave();
    assert.deepEqual(await page({ storage }).take(), saved);
  });
});

describe('what is written', () => {
  test('is written once for the same object', async () => {
    const kept = await living();
    kept.keep(saved);
    assert.equal(storage.writes, 1);
    kept.keep({ ...saved });
    assert.equal(storage.writes, 2);
  });

  test('leaves what another session has written under the same name', async () => {
    const first = await living();
    const second = page();
    second.keep({ ...saved, known: { session: 's2', token: 'secret', incarnation: 1 } });
    first.keep(undefined);
    await idle();
    assert.match(storage.items.get(KEY) ?? '', /s2/);
  });

  test('is no record if anything about it is odd', async () => {
    (await living()).leave();
    await idle();
    const text = storage.items.get(KEY) ?? '';
    const changed = (change: Record<string, unknown>): string => {
      const record = JSON.parse(text) as { saved: object };
      return JSON.stringify({ ...record, saved: { ...record.saved, ...change } });
    };
    const odd = [
      '',
      'x',
      'null',
      '{}',
      text.replace('"version":3', '"version":2'),
      text.replace('"isLeft":true', '"isLeft":1'),
      changed({ known: null }),
      changed({ known: { ...saved.known, session: '' } }),
      changed({ known: { ...saved.known, token: 1 } }),
      changed({ known: { ...saved.known, incarnation: -1 } }),
      changed({ known: { ...saved.known, user: 1 } }),
      changed({ attach: 1.5 }),
      changed({ after: null }),
      changed({ low: '3' }),
      changed({ said: 2 ** 53 }),
      changed({ atMs: undefined }),
      changed({ unkept: ['x'] }),
      changed({ unkept: undefined }),
      changed({ commands: {} }),
      changed({ commands: [null] }),
      changed({ commands: [{ type: 'subscribe', channel: 'a' }] }),
      changed({ commands: [{ type: 'send' }] }),
      changed({ commands: [{ type: 'send', channel: 'a', bytes: '*' }] }),
    ];
    for (const record of odd) {
      storage.items.set(KEY, record);
      assert.equal(await page().take(), undefined, record);
      assert.equal(storage.items.size, 0, record);
    }
    storage.items.set(KEY, changed({}));
    assert.deepEqual(await page().take(), saved, 'and is one if nothing is');
  });
});

describe('a storage that refuses', () => {
  test('ends keeping, with a reason to see, and leaves no record that is older than what is said', async () => {
    const kept = await living();
    assert.equal(kept.status, 'kept in this tab');
    storage.refusesWrites = new DOMException('full', 'QuotaExceededError');
    kept.keep({ ...saved, after: 13 });
    await idle();
    assert.equal(kept.status, 'not kept: the storage refused it (QuotaExceededError)');
    assert.deepEqual([storage.items.size, locks.held.size], [0, 0]);
    storage.refusesWrites = undefined;
    kept.keep({ ...saved, known: { session: 's2', token: 'secret', incarnation: 1 } });
    kept.leave();
    await kept.comeBack();
    assert.deepEqual([storage.items.size, locks.held.size], [0, 0], 'for good');
  });

  test('whatever it is asked stops nobody', async () => {
    storage.refusesAll = new DOMException('blocked', 'SecurityError');
    const kept = page();
    assert.equal(await kept.take(), undefined);
    kept.keep(saved);
    kept.leave();
    await kept.comeBack();
    assert.equal(kept.status, 'not kept: the storage refused it (SecurityError)');
  });
});

describe('where nothing is kept', () => {
  const base = new URL('https://a.example/');

  test('the application may not want it', async () => {
    const kept = keeper({ keep: 'never', name: 'default', base, clock, tab: { storage, locks, keys: new Map() } });
    kept.keep(saved);
    assert.equal(await kept.take(), undefined);
    assert.equal(storage.items.size, 0);
    assert.equal(kept.status, 'not kept: not wanted');
  });

  test('Node is no page', async () => {
    const kept = keeper({ keep: 'tab', name: 'default', base, clock });
    kept.keep(saved);
    kept.leave();
    await kept.comeBack();
    assert.equal(await kept.take(), undefined);
    assert.equal(kept.status, 'not kept: this is no page');
  });
});
