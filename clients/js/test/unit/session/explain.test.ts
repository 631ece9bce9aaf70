/** Why a session runs on what it runs on, for a person. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bincode } from '../../../src/bincode.js';
import type { CoreLike } from '../../../src/core/core.js';
import type { Candidate } from '../../../src/core/negotiation/candidates.js';
import { replaced, type Use } from '../../../src/core/negotiation/use.js';
import { explain } from '../../../src/explain.js';
import { ManualClock } from '../../../src/testing/clock.js';
import type { Transport } from '../../../src/transports/transport.js';
import { world } from './world.js';

test('a session on what it prefers says how it came there', async () => {
  const { clock, open } = world({ latencyMs: 10 });
  const session = open();
  assert.equal(String(session.explain()), 'connecting');
  await clock.advance(1_000);
  assert.match(String(session.explain()), /^websocket, because it /);
  assert.equal(session.explain().transport, 'websocket');
});

test('a session on a lesser transport says what became of the better ones, and when they are tried again', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  gateway.block('websocket');
  gateway.block('sse', { outcome: 'buffered', reason: 'it was welcomed, and nothing more came' });
  const session = open();
  await clock.advance(2_000);
  const { attempts, why } = session.explain();
  assert.ok(why);
  const last = attempts.filter(({ transport }) => transport === 'websocket').at(-1);
  const [ago, again] = [last?.agoMs, last?.againInMs].map((ms) => Math.round((ms ?? NaN) / 1_000));
  assert.ok(ago !== undefined && again !== undefined && ago > 0 && again > 0);
  assert.match(
    String(session.explain()),
    new RegExp(
      `^polling, because websocket was refused with status 403 ${ago} s ago and is tried again in ${again} s, ` +
        'and sse was buffered \\(it was welcomed, and nothing more came\\) \\d+ s ago and is tried again in \\d+ s$',
    ),
  );
});

test('a session without a link says why, and when it tries again', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.refuse({ delayMs: 7_000 });
  gateway.cut();
  await clock.advance(2_000);
  assert.match(String(session.explain()), /^waiting \(overload\), again in 5 s/);
  void session.close();
  await clock.advance(5_000);
  assert.equal(String(session.explain()), 'closed: the application closed it');
});

test('an attempt that is due is made now, not in 0 s', async () => {
  const { gateway, clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  gateway.refuse({ delayMs: 7_000 });
  gateway.cut();
  await clock.advance(6_700);
  assert.match(String(session.explain()), /^waiting \(overload\), again now/);
});

test('a transport that the application asked for is explained by that, whatever became of the others', async () => {
  const { clock, open } = world({ latencyMs: 10 });
  const session = open();
  await clock.advance(1_000);
  void session.migrate('polling');
  await clock.advance(1_000);
  assert.equal(String(session.explain()), 'polling, because the application asked for it');
  session.cut();
  await clock.advance(5_000);
  assert.equal(String(session.explain()), 'polling, because the application asked for it');
});

test('a link in the place of one of the same transport is not preferred to itself', () => {
  const candidate: Candidate = { name: 'websocket', isDuplex: true, offer: undefined, failures: 0, notBeforeMs: 0 };
  const use: Use = { link: 1, candidate, sinceMs: 0, carries: true, reached: 0, atMs: 0, handshakeMs: 0, heardMs: 0 };
  assert.equal(replaced(use, candidate, false, false).why, 'it took the place of a link before it');
});

test('what an offer says of credentials is not told', () => {
  const offers = [{ name: 'sse', url: 'https://me:secret@a.example/events' }, { name: 'polling' }];
  const core = { offers, history: [], why: '' } as unknown as CoreLike;
  const told = explain(core, { name: 'connecting', attempt: 1 }, new ManualClock(), [], 'json', '').offers;
  assert.deepEqual(told, [{ name: 'sse', url: 'a.example/events' }, { name: 'polling' }]);
});

test('the codec is that of the link, and without one what is asked for', async () => {
  const { gateway, clock, open } = world();
  const [name, codec] = ['throughline.v1.json', bincode()];
  // Event streams are text, whatever the session's codec.
  const transports = gateway.transports
    .filter((transport) => transport.name === 'sse')
    .map((transport): Transport => ({ ...transport, open: (opening) => Object.assign(transport.open(opening), { codec: name }) }));
  const session = open({ transports, codec });
  assert.equal(session.explain().codec, codec.name);
  await clock.advance(1_000);
  assert.equal(session.explain().codec, name);
});

test('whether a reload keeps the session is said too', () => {
  assert.match(world().open().explain().kept, /^not kept: /);
});
