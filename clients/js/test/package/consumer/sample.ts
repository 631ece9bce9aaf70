// What somebody writes who has installed the package: every entry, compiled and run outside of it.

import { connect, polling, Rejected, sse, webSocket, type Session, type SessionState } from 'throughline-client';
import { bincode } from 'throughline-client/bincode';
import { connect as connectWith, page } from 'throughline-client/core';
import { optimistic } from 'throughline-client/optimistic';
import { FakeGateway, ManualClock } from 'throughline-client/testing';
import { webTransport } from 'throughline-client/webtransport';

interface RoomEvents {
  said: { text: string };
  left: { who: string };
}

const clock = new ManualClock();
const gateway = new FakeGateway({ clock });
const session: Session = connect('http://gateway.test/', { clock, random: () => 0.5, transports: gateway.transports });
session.on('state', (state: SessionState) => {
  if (state.name === 'waiting') console.log(state.retryAt);
});

const room = session.subscribe<RoomEvents, number>('room:1', { from: { last: 10 } });
room.on('event', (event) => {
  switch (event.name) {
    case 'said':
      return console.log(event.position.offset, event.data.text);
    case 'left':
      return console.log(event.position.offset, event.data.who);
  }
});
const view = optimistic(room, {
  initial: 0,
  apply: (count: number, event) => (event.name === 'said' ? count + 1 : count),
});

await clock.advance(1_000);
gateway.publish('room:1', { text: 'hello' }, { name: 'said' });
await clock.advance(1_000);
const sent = view.send({ text: 'hi' }, { name: 'said', optimistic: (count) => count + 1 });
console.log('shown', view.state, 'confirmed', view.confirmed);
await clock.advance(1_000);
await sent;
console.log('shown', view.state, 'confirmed', view.confirmed);

// What would go to a real one.
const transports = [webTransport(), webSocket(), sse(), polling()];
console.log(transports.map(({ name }) => name).join(' '), bincode().name, new Rejected({ code: 'no', message: 'no', retryable: false }).code);

// Types say no where they should.
// @ts-expect-error: there is no such event
room.on('event', (event) => event.name === 'shouted');
// @ts-expect-error: a transport is none of these
void session.migrate('pigeon').catch(() => undefined);
const bare = connectWith('http://gateway.test/', { clock, transports: gateway.transports, codec: bincode(), page: page({ keep: 'never' }) });
// @ts-expect-error: nothing is put in place of a codec
void (() => connectWith('/', { transports }));
const closed = Promise.all([session.close(), bare.close()]);
await clock.advance(1_000);
await closed;
