/** A page that is loaded again: its session goes on, and what it had sent is carried out once. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { Environment, Told } from '../../../src/index.js';
import { world } from './world.js';

/** The globals that make a tab, without Web Locks. */
class Shelf {
  readonly #items = new Map<string, string>();
  getItem = (key: string): string | null => this.#items.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.#items.set(key, value);
  removeItem = (key: string): void => void this.#items.delete(key);
}

const globals = { document: new EventTarget(), sessionStorage: new Shelf(), localStorage: new Shelf(), navigator: {} };
const replaced = new Map<string, PropertyDescriptor | undefined>();

before(() => {
  for (const [name, value] of Object.entries(globals)) {
    replaced.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
});

after(() => {
  for (const [name, descriptor] of replaced) {
    if (descriptor) Object.defineProperty(globalThis, name, descriptor);
    else Reflect.deleteProperty(globalThis, name);
  }
});

/** The life of a page, told by a test. */
function page(): { readonly environment: Environment; readonly told: () => Told } {
  let told: Told | undefined;
  return {
    environment: {
      watch: (_, telling) => {
        told = telling;
        return () => {};
      },
    },
    told: () => told ?? assert.fail('nobody watches'),
  };
}

test('the session goes on, presence does not flap, and a send without a reply is carried out once', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const watcher = open({ keep: 'never' }).subscribe('room', { presence: true });
  const changes: string[] = [];
  watcher.on('presence', ({ kind }) => changes.push(kind));
  const [first, second] = [page(), page()];
  const session = open({ environment: first.environment });
  session.subscribe('room', { presence: true });
  await clock.advance(1_000);
  const { id } = session;
  assert.equal(session.explain().kept, 'kept in this tab');
  assert.deepEqual(await session.restored, []);
  let carriedOut = 0;
  let reply: (value: { data: number }) => void = () => {};
  gateway.onSend(() => {
    carriedOut += 1;
    return new Promise((resolve) => (reply = resolve));
  });
  void session.send('room', 'late').catch(() => {});
  await clock.advance(15);

  // The document goes: its links end, and nothing is said.
  first.told().left();
  gateway.cut();
  first.told().frozen();
  const next = open({ environment: second.environment });
  const room = next.subscribe('room', { presence: true });
  reply({ data: 42 });
  await clock.advance(2_000);
  assert.deepEqual([next.id, next.isResumed, carriedOut], [id, true, 1]);
  const restored = await next.restored;
  assert.deepEqual(
    restored.map(({ command }) => command),
    [{ type: 'send', channel: 'room', data: 'late' }],
  );
  assert.deepEqual(await restored[0]?.outcome, { data: 42 });
  assert.deepEqual(changes, ['state', 'join']);
  assert.equal(room.members.size, 2);
});

test('a session that was resumed and is lost is another one: it is not resumed any more', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const [first, second] = [page(), page()];
  open({ environment: first.environment, name: 'lost' });
  await clock.advance(1_000);
  first.told().left();
  gateway.cut();
  first.told().frozen();
  const next = open({ environment: second.environment, name: 'lost' });
  await clock.advance(2_000);
  assert.equal(next.isResumed, true);
  gateway.loseSessions();
  await clock.advance(5_000);
  assert.deepEqual([next.state.name, next.isResumed], ['live', false]);
});

test('a page back from the cache repeats nothing that its successor may have said', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const [first, second] = [page(), page()];
  const session = open({ environment: first.environment, name: 'cached' });
  await clock.advance(1_000);
  const carriedOut: unknown[] = [];
  gateway.onSend(({ data }) => void carriedOut.push(data));
  gateway.cut();
  // Numbered and kept, but not said: there is no link.
  const sent = session.send('room', 'x', { id: 'x' });
  sent.catch(() => {});
  await clock.advance(0);
  assert.notEqual(session.state.name, 'live');
  first.told().left();
  first.told().frozen();
  const next = open({ environment: second.environment, name: 'cached' });
  await clock.advance(60_000);
  assert.deepEqual(carriedOut, ['x']);
  second.told().left();
  second.told().frozen();
  first.told().cameBack(true);
  await clock.advance(60_000);
  await assert.rejects(sent, { name: 'OutcomeUnknown' });
  assert.deepEqual([session.state.name, carriedOut], ['live', ['x']]);
  assert.notEqual(session.id, next.id);
});

test('a channel that its successor has filled goes on without presence in a page back from the cache', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10, members: 1 });
  const [first, second] = [page(), page()];
  const room = open({ environment: first.environment, name: 'full' }).subscribe('room', { presence: true });
  const changes: unknown[] = [];
  room.on('presence', ({ kind, count, error }) => changes.push([kind, count, error?.code]));
  room.on('event', ({ data }) => changes.push(data));
  await clock.advance(1_000);
  first.told().left();
  first.told().frozen();
  open({ environment: second.environment, name: 'full' }).subscribe('room', { presence: true });
  await clock.advance(1_000);
  first.told().cameBack(true);
  await clock.advance(60_000);
  gateway.publish('room', 'on');
  await clock.advance(1_000);
  assert.deepEqual(changes, [['state', 1, undefined], ['state', 0, 'too_many_members'], 'on']);
  assert.equal(room.members.size, 0);
});

test('of two sessions of one name in one page the second is not kept, and says so, until the first is closed', async () => {
  const { clock, open } = world();
  const [first, second, other] = [open({ name: 'twice' }), open({ name: 'twice' }), open({ name: 'another' })];
  await clock.advance(1_000);
  const notKept = 'not kept: its name is taken';
  assert.deepEqual(
    [first, second, other].map((session) => session.explain().kept),
    ['kept in this tab', notKept, 'kept in this tab'],
  );
  await second.close();
  assert.equal(open({ name: 'twice' }).explain().kept, notKept, 'the first still has it');
  void first.close();
  const next = open({ name: 'twice' });
  await clock.advance(2_000);
  assert.deepEqual([first.state.name, next.explain().kept], ['closed', 'kept in this tab']);
  assert.equal(open({ name: 'twice' }).explain().kept, notKept, 'the end of the first takes nothing from the next');
});
