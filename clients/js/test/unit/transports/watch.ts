/** What a link reports, in order, and what it is opened with in tests. */

import { json } from '../../../src/codec/json.js';
import type { UpFrame } from '../../../src/protocol.js';
import { ManualClock } from '../../../src/testing/clock.js';
import type { End, Link, LinkEvents, Opening, Transport } from '../../../src/transports/transport.js';

/** The name of a report and what it is about. */
export type Report = readonly [keyof LinkEvents, ...unknown[]];

export interface Watched {
  readonly link: Link;
  readonly clock: ManualClock;
  /** All that was reported. */
  readonly reports: readonly Report[];
  /** The next that is no sign of life; waits for it. */
  next(): Promise<Report>;
  /** The next has to be the end. */
  ended(): Promise<End>;
}

/** A link of this transport, opened with the defaults of a test. */
export function watch(transport: Transport, opening: Partial<Opening> = {}): Watched {
  const reports: Report[] = [];
  const clock = new ManualClock();
  let seen = 0;
  let wake: () => void = () => undefined;
  const heard =
    <K extends keyof LinkEvents>(what: K) =>
    (...about: unknown[]) => {
      reports.push([what, ...about]);
      wake();
    };
  const next = async (): Promise<Report> => {
    for (;;) {
      const report = reports[seen];
      if (!report) await new Promise<void>((resolve) => (wake = resolve));
      else seen += 1;
      if (report && report[0] !== 'alive') return report;
    }
  };
  const link = transport.open({
    base: new URL('https://gateway.example/live/'),
    codec: json(),
    clock,
    connectMs: 5_000,
    hello,
    events: {
      opened: heard('opened'),
      received: heard('received'),
      alive: heard('alive'),
      answered: heard('answered'),
      posted: heard('posted'),
      ended: heard('ended'),
    },
    ...opening,
  });
  return {
    link,
    clock,
    reports,
    next,
    async ended() {
      const [what, end] = await next();
      if (what !== 'ended') throw new Error(`${what} and no end`);
      return end as End;
    },
  };
}

export const hello: readonly UpFrame[] = [{ type: 'hello', version: 0, instance: 'me', attach: 1 }];
export const pong = { type: 'pong', nonce: 7 } as const;
export const bye = { type: 'bye' } as const;

/** Lets everything happen that waits for nothing. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
}
