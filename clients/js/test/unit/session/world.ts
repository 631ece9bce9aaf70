/** A client and a gateway in one test: a clock that stands still, randomness that repeats itself. */

import assert from 'node:assert/strict';

import { connect } from '../../../src/index.js';
import type { ConnectOptions, Session, Transport } from '../../../src/index.js';
import type { DownFrame } from '../../../src/protocol.js';
import { FakeGateway, ManualClock, type FakeGatewayOptions } from '../../../src/testing.js';
import type { LinkEvents } from '../../../src/transports/transport.js';

export interface World {
  readonly clock: ManualClock;
  readonly gateway: FakeGateway;
  /** Opens a session with the gateway. */
  readonly open: (options?: ConnectOptions) => Session;
}

export function world(options: Omit<FakeGatewayOptions, 'clock'> = {}): World {
  const clock = new ManualClock();
  const gateway = new FakeGateway({ clock, ...options });
  const { transports } = gateway;
  return { clock, gateway, open: (more) => connect('http://test/', { clock, random: () => 0.5, transports, ...more }) };
}

/** A gateway's WebSockets, and what says on the newest of them what the gateway would not say now. */
export function tapped({ transports }: FakeGateway): { readonly transports: Transport[]; readonly say: (...frames: DownFrame[]) => void } {
  const socket = transports.find(({ name }) => name === 'websocket') ?? assert.fail('no WebSocket');
  let events: LinkEvents | undefined;
  const open: Transport['open'] = (opening) => {
    events = opening.events;
    return socket.open(opening);
  };
  return { transports: [{ ...socket, open }], say: (...frames) => events?.received(frames) };
}

/** What the client is told whose session was taken by another with its token. */
export const superseded: DownFrame = { type: 'retry', delayMs: 0, spreadMs: 0, reason: 'superseded' };

/** All that a source tells from now on. */
export function heard<What>(on: (listener: (what: What) => void) => unknown): What[] {
  const all: What[] = [];
  on((what) => all.push(what));
  return all;
}
