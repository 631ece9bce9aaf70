/** How a session begins and ends. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { CLIENT } from '../../../src/open.js';
import { connect as connectWith, page } from '../../../src/core.js';
import { connect, json, polling, SessionClosed } from '../../../src/index.js';
import type { SessionState, Transport } from '../../../src/index.js';
import type { UpFrame } from '../../../src/protocol.js';
import { heard, world } from './world.js';

test('nothing happens before the current task is over, and what is subscribed by then travels in the first message', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const said: UpFrame[][] = [];
  const transports = gateway.transports.map((transport) => eavesdropped(transport, said));
  const session = open({ transports });
  assert.equal(said.length, 0);
  session.subscribe('news');
  session.subscribe('weather', { from: { last: 3 }, presence: true });
  await clock.advance(0);
  const opening = said[0] ?? [];
  assert.deepEqual(
    opening.map(({ type }) => type),
    ['hello', 'commands'],
  );
  assert.deepEqual(opening[1], {
    type: 'commands',
    first: 1,
    items: [
      { type: 'subscribe', channel: 'news', from: 'now', presence: false },
      { type: 'subscribe', channel: 'weather', from: { last: 3 }, presence: true },
    ],
  });
});

test('a session is connecting, then live on a poll, then on what is preferred', async () => {
  const { clock, open } = world({ latencyMs: 10 });
  const session = open();
  const states: [number, SessionState][] = [];
  session.on('state', (state) => states.push([clock.now(), state]));
  assert.deepEqual(session.state, { name: 'connecting', attempt: 1 });
  assert.equal(session.id, undefined);
  await clock.advance(1_000);
  assert.deepEqual(states, [
    [20, { name: 'live', transport: 'polling' }],
    [60, { name: 'live', transport: 'websocket' }],
  ]);
  assert.equal(session.id, 'session1');
  assert.equal(session.isResumed, false);
});

test('ready resolves once the session is live, and at once when it is', async () => {
  const { clock, open } = world({ latencyMs: 10 });
  const session = open();
  let isReady = false;
  void session.ready().then(() => (isReady = true));
  await clock.advance(19);
  assert.equal(isReady, false);
  await clock.advance(1);
  assert.equal(isReady, true);
  await session.ready();
});

test('ready ends with its signal, and with the session', async () => {
  const { gateway, clock, open } = world();
  gateway.refuse();
  const session = open();
  const stop = new AbortController();
  const aborted = session.ready({ signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(aborted, /enough/);
  await assert.rejects(session.ready({ signal: stop.signal }), /enough/);
  const closed = assert.rejects(session.ready(), (error: unknown) => error instanceof SessionClosed && error.reason === 'closed');
  void session.close();
  await clock.advance(5_000);
  await closed;
});

test('close says goodbye: the gateway forgets the session, and everything ends', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const session = open();
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const ends = heard((hear) => room.on('unsubscribed', hear));
  const closed = session.close();
  await clock.advance(2_000);
  await closed;
  assert.deepEqual(session.state, { name: 'closed', reason: 'closed' });
  assert.deepEqual(gateway.sessions, []);
  assert.deepEqual(ends, [{ reason: 'closed' }]);
  await assert.rejects(session.send('room', 1), SessionClosed);
  await assert.rejects(session.subscribe('other').subscribed, SessionClosed);
  assert.equal(session.sendVolatile('room', 1), false);
  await assert.rejects(session.migrate('sse'), SessionClosed);
  await session.close();
  assert.equal(clock.nextInMs, undefined, 'no timer is left');
});

test('close is done as soon as the gateway has closed the link, by every transport', async () => {
  for (const name of ['websocket', 'sse', 'polling']) {
    const { gateway, clock, open } = world({ latencyMs: 10 });
    const session = open({ transports: gateway.transports.filter((transport) => transport.name === name) });
    await clock.advance(1_000);
    let closedMs = 0;
    const since = clock.now();
    void session.close().then(() => (closedMs = clock.now() - since));
    await clock.advance(2_000);
    assert.deepEqual([name, closedMs], [name, 20]);
  }
});

test('a gateway that does not answer a goodbye is waited for as long as it may take', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const [socket] = gateway.transports.filter(({ name }) => name === 'websocket');
  assert.ok(socket);
  const mute: Transport = {
    ...socket,
    open: (opening) => {
      const link = socket.open(opening);
      const closed = link.close.bind(link);
      link.close = (inPeace) => inPeace || closed(inPeace);
      const said = link.transmit.bind(link);
      link.transmit = (message) => message.some(({ type }) => type === 'bye') || said(message);
      return link;
    },
  };
  const session = open({ transports: [mute] });
  await clock.advance(1_000);
  let closedMs = 0;
  const since = clock.now();
  void session.close().then(() => (closedMs = clock.now() - since));
  await clock.advance(2_000);
  assert.deepEqual([closedMs, gateway.links], [1_000, []]);
});

test('without latency close is done without the clock', async () => {
  const { clock, open } = world();
  const session = open();
  await clock.advance(1_000);
  await session.close();
});

test('aborting its signal closes a session', async () => {
  const { gateway, clock, open } = world();
  const stop = new AbortController();
  const session = open({ signal: stop.signal });
  await clock.advance(1_000);
  stop.abort();
  await clock.advance(2_000);
  assert.equal(session.state.name, 'closed');
  assert.deepEqual(gateway.sessions, []);
});

test('a session that is closed by who hears that it waits is closed like any other', async () => {
  const { gateway, clock, open } = world({ authenticate: () => ({ user: 'ann', expiresInMs: 60_000 }) });
  let asked = 0;
  const session = open({ auth: () => `token ${String(++asked)}` });
  const room = session.subscribe('room');
  await clock.advance(1_000);
  const states = heard<SessionState>((hear) => session.on('state', hear));
  const ends = heard((hear) => room.on('unsubscribed', hear));
  session.on('state', ({ name }) => name === 'waiting' && void session.close());
  const sent = assert.rejects(session.send('room', 1), SessionClosed);
  gateway.refuse();
  gateway.cut();
  await clock.advance(0);
  await sent;
  assert.deepEqual(
    states.map(({ name }) => name),
    ['recovering', 'waiting', 'closed'],
  );
  assert.deepEqual([session.state, ends], [{ name: 'closed', reason: 'closed' }, [{ reason: 'closed' }]]);
  await session.close();
  await clock.advance(120_000);
  assert.equal(asked, 1, 'nobody is asked for credentials any more');
});

test('a signal that is aborted already opens nothing', async () => {
  const { gateway, clock, open } = world();
  const session = open({ signal: AbortSignal.abort() });
  await clock.advance(2_000);
  assert.equal(session.state.name, 'closed');
  assert.deepEqual(gateway.sessions, []);
});

test('an address that is none, or of another scheme, is refused at once', () => {
  const whole = /^url is http or https, and outside a page a whole address, not /;
  for (const url of ['/relative', '', 'http://', 'ftp://example.com/', 'ws://example.com/', undefined]) {
    assert.throws(() => connect(url as string), { name: 'TypeError', message: whole }, url);
  }
});

test('transports are what their calls give, and at least one', () => {
  const message = /^transports are one or more that are called, as polling\(\), not /;
  for (const transports of [[], [polling], ['websocket'], [polling(), {}], [5]]) {
    assert.throws(() => connect('http://example.com/', { transports: transports as never }), { name: 'TypeError', message });
  }
});

/** A transport whose messages are listened to. */
function eavesdropped(transport: Transport, said: UpFrame[][]): Transport {
  return {
    ...transport,
    missing: () => transport.missing(),
    open(opening) {
      const link = transport.open(opening);
      const { poll } = link;
      link.poll = (attach, message) => {
        said.push([...message]);
        poll.call(link, attach, message);
      };
      return link;
    },
  };
}

test('the gateway is told the version of this package', () => {
  const { name, version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as typeof CLIENT;
  assert.deepEqual(CLIENT, { name, version });
});

test('a transport that is listed twice is used once', async () => {
  const { gateway, clock, open } = world({ latencyMs: 10 });
  const opened: string[] = [];
  const counted = gateway.transports.map((transport): Transport => {
    const { name } = transport;
    return {
      ...transport,
      open(opening) {
        opened.push(name);
        // Nobody hears the answer of its handshake.
        const events = name === 'websocket' ? { ...opening.events, opened() {} } : opening.events;
        return transport.open({ ...opening, events });
      },
    };
  });
  open({ transports: counted.flatMap((transport) => [transport, transport]) });
  await clock.advance(4_000);
  assert.deepEqual(opened, ['polling', 'websocket', 'sse']);
});

test('the core entry opens with what it is handed, and keeps nothing without a page', async () => {
  const { gateway, clock } = world();
  const session = connectWith('http://example.com/', { clock, transports: gateway.transports, codec: json() });
  const sent = session.send('room', 1);
  await clock.advance(0);
  await sent;
  assert.equal(session.explain().kept, 'not kept: no page is handed in');
});

test('the core entry lives as the page that it is handed', async () => {
  const { gateway, clock } = world();
  let isWatched = false;
  const environment = {
    watch: () => {
      isWatched = true;
      return () => void (isWatched = false);
    },
  };
  const here = page({ environment, keep: 'never' });
  const session = connectWith('http://example.com/', { clock, transports: gateway.transports, codec: json(), page: here });
  assert.equal(isWatched, true);
  assert.equal(session.explain().kept, 'not kept: not wanted');
  const closed = session.close();
  await clock.advance(1_000);
  await closed;
  assert.equal(isWatched, false);
});
