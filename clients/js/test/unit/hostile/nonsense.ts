/**
 * A gateway that says anything at all, from a seed: frames that a codec lets through, with numbers, names and orders that no
 * gateway would choose. What the codec refuses is the vectors' to show.
 */

import { json } from '../../../src/codec/json.js';
import type { DownFrame } from '../../../src/protocol.js';
import type { ManualClock } from '../../../src/testing.js';
import type { End, LinkEvents, Transport } from '../../../src/transports/transport.js';

/** Names that objects have already, and places that do not exist. */
export const CHANNELS = ['a', 'b', '__proto__', 'constructor'];
const NUMBERS = [0, 1, 2, 3, 4, 5, 7, 100, 5_000, 2 ** 31, Number.MAX_SAFE_INTEGER];
const SESSIONS = ['EUN7nu4-UbfAPoOEW8k5AQ', 'AAAAAAAAAAAAAAAAAAAAAA'];
const REASONS = ['superseded', 'positions', 'drain', 'ended', 'internal', 'protocol_error', 'odd'];
const ENDS: readonly End[] = [
  { kind: 'lost', reason: 'it broke' },
  { kind: 'refused', status: 503, retryAfterMs: 0 },
  { kind: 'protocol', reason: 'it could not be read' },
  { kind: 'failed', outcome: 'hung', reason: 'it hung' },
  ...[1000, 1002, 1009, 4000, 4003, 4050, 4100, 4150, 4300].map((code) => ({ kind: 'closed', code }) as const),
];

export interface Nonsense {
  readonly transports: readonly Transport[];
  /** What was said to it: messages of every kind. */
  readonly heard: number;
  readonly random: () => number;
}

export function nonsense(clock: ManualClock, seed: number): Nonsense {
  let state = seed;
  let heard = 0;
  /** The item that would be next if it were a gateway. */
  let next = 1;
  const codec = json();
  const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const number = (): number => pick(NUMBERS);
  const channel = (): string => (isSo() ? 'a' : pick(CHANNELS));
  const isSo = (): boolean => random() < 0.5;
  const maybe = (name: string, value: () => unknown): object => (isSo() ? { [name]: value() } : {});
  const position = (): object => ({ epoch: pick(['e', 'e', 'e', 'f', '__proto__']), offset: number() });
  const offer = (): object => ({ name: pick(['websocket', 'sse', 'polling', 'x']), ...maybe('certificateHashes', () => ['zz', 'abc']) });
  const limits = (): object =>
    Object.fromEntries(
      ['messageBytes', 'commandsAhead', 'unacknowledgedItems', 'unacknowledgedBytes', 'subscriptions', 'commandsPerSecond'].map(
        (limit) => [limit, number()],
      ),
    );

  const itemKinds: readonly (() => object)[] = [
    () => ({ type: 'event', channel: channel(), offset: number(), time: number(), ...maybe('data', () => ({ constructor: 1 })) }),
    () => ({ type: 'reply', command: number(), ok: true, ...maybe('position', position) }),
    () => ({ type: 'reply', command: number(), ok: false, error: { code: 'forbidden', message: 'no', retryable: isSo() } }),
    () => ({ type: 'subscribed', channel: channel(), ...maybe('command', number), position: position(), recovered: isSo() }),
    () => ({ type: 'unsubscribed', channel: channel(), ...maybe('command', number), reason: 'revoked' }),
    () => ({ type: 'gap', ...maybe('channel', channel), ...maybe('from', position), to: position(), exact: isSo(), reason: 'epoch' }),
    () => ({ type: 'presence', channel: channel(), kind: pick(['state', 'join', 'leave', 'odd']), members: SESSIONS.map((session) => ({ session })), count: number() }),
    () => ({ type: 'odd' }),
  ];
  const items = (first: number, count: number): object => {
    next = first + count;
    return { type: 'items', first, items: Array.from({ length: count }, () => pick(itemKinds)()), ...maybe('ack', number) };
  };
  const welcome = (): object => ({
    type: 'welcome',
    session: pick(SESSIONS),
    token: 't',
    incarnation: pick([1, 1, 1, 2, number()]),
    link: number(),
    resumed: isSo(),
    next: (next = pick([next, next, 1, number()])),
    received: pick([0, 0, 1, number()]),
    time: 1,
    heartbeatMs: number(),
    resumeWindowMs: number(),
    windowMs: number(),
    backoff: { baseMs: number(), capMs: number() },
    ...maybe('limits', limits),
    ...maybe('transports', () => [offer(), offer()]),
    ...maybe('authExpiresInMs', number),
    ...maybe('user', () => pick(['ada', 'bob'])),
  });
  const frameKinds: readonly (() => object)[] = [
    welcome,
    () => items(next, 1),
    () => items(next, 3),
    () => items(number(), 2),
    () => ({ type: 'ack', upTo: number() }),
    () => ({ type: 'ping', ...maybe('nonce', number), ...maybe('windowMs', number) }),
    () => ({ type: 'pong', ...maybe('nonce', number) }),
    () => ({ type: 'retry', delayMs: pick([0, 5, number()]), spreadMs: number(), reason: pick(REASONS), ...maybe('transports', () => [offer()]) }),
    () => ({ type: 'migrate', transports: [offer()], delayMs: number(), spreadMs: number() }),
    () => ({ type: 'volatile', channel: channel(), time: 1, seq: number(), data: 1 }),
    () => ({ type: 'error', code: pick(['internal', 'token_invalid', 'message_too_large']), message: 'm', ...maybe('command', number), fatal: random() < 0.2 }),
  ];
  /** Most links begin as they should, or nothing that follows would be looked at. */
  const frames = (isFirst = false): readonly DownFrame[] => {
    const said = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(frameKinds)());
    if (isFirst && random() < 0.9) said.unshift(welcome(), items(next, 3), items(next, 5));
    return codec.decode(said.map((frame) => JSON.stringify(frame)).join('\n')).frames;
  };

  const transport = (name: Transport['name'], isDuplex: boolean): Transport => ({
    name,
    isDuplex,
    missing: () => undefined,
    open: ({ events }) => {
      let isOver = false;
      const later = (ms: number, then: () => void): void => void clock.after(ms, () => !isOver && then());
      const tell = <K extends keyof LinkEvents>(what: K, ...about: Parameters<LinkEvents[K]>): void => {
        if (what === 'ended') isOver = true;
        (events[what] as (...about: readonly unknown[]) => void)(...about);
      };
      let isFirst = true;
      const said = (): readonly DownFrame[] => {
        const first = isFirst;
        isFirst = false;
        return frames(first);
      };
      const act = (): void => {
        if (random() < 0.8) tell('received', said());
        else tell('alive');
        if (random() < 0.1) tell('ended', pick(ENDS));
        else later(pick([1, 50, 400, 3_000]), act);
      };
      later(1, () => {
        if (isDuplex) tell('opened');
        if (name !== 'polling') act();
      });
      return {
        transmit: () => void heard++,
        transmitVolatile: () => void heard++,
        poll: (attach) => {
          heard++;
          later(pick([1, 5, 200]), () => tell('answered', pick([attach, attach, 1]), said()));
        },
        post: (post) => {
          heard++;
          later(pick([1, 30]), () => tell('posted', post, isSo() ? frames() : 'no answer'));
        },
        close: () => void (isOver = true),
      };
    },
  });

  return {
    transports: [transport('websocket', true), transport('sse', false), transport('polling', false)],
    get heard() {
      return heard;
    },
    random,
  };
}
