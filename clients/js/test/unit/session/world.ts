/** A client and a gateway in one test: a clock that stands still, randomness that repeats itself. */

import { connect } from '../../../src/index.js';
import type { ConnectOptions, Session } from '../../../src/index.js';
import { FakeGateway, ManualClock, type FakeGatewayOptions } from '../../../src/testing.js';

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

/** All that a source tells from now on. */
export function heard<What>(on: (listener: (what: What) => void) => unknown): What[] {
  const all: What[] = [];
  on((what) => all.push(what));
  return all;
}
