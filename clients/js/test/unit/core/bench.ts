/** Short words for tests of the core, and a bench to put one on: time passes as a driver lets it, deadline by deadline. */

import assert from 'node:assert/strict';

import { type CoreLike, type CoreOptions, newCore } from '../../../src/core/core.js';
import type { Incoming, Outcome, Output, Saved } from '../../../src/core/output.js';
import { defaultTiming } from '../../../src/core/timing.js';
import type { Command, DownFrame, Event, Hello, Item, Position, Send, Subscribe, Subscribed, TransportName, UpFrame, Welcome } from '../../../src/protocol.js';
import type { End } from '../../../src/transports/transport.js';

export const position = (offset: number, epoch = 'e'): Position => ({ epoch, offset });
export const subscribed = (channel: string, offset: number, command?: number): Subscribed => ({
  type: 'subscribed',
  channel,
  ...(command !== undefined && { command }),
  position: position(offset),
  recovered: true,
});
export const event = (channel: string, offset: number): Event => ({ type: 'event', channel, offset, time: 0 });
export const reply = (command: number): Item => ({ type: 'reply', command, ok: true });
export const refusal = (command: number, code: string): Item => ({
  type: 'reply',
  command,
  ok: false,
  error: { code, message: '', retryable: false },
});
export const items = (first: number, ...all: Item[]): DownFrame => ({ type: 'items', first, items: all });
export const ack = (upTo: number): DownFrame => ({ type: 'ack', upTo });
export const ping = (nonce?: number): DownFrame => (nonce === undefined ? { type: 'ping' } : { type: 'ping', nonce });
export const pong: DownFrame = { type: 'pong' };
export const retry = (reason: string, delayMs = 0, final = false): DownFrame => ({ type: 'retry', delayMs, spreadMs: 0, reason, final });
export const send = (more: Partial<Send> = {}): Send => ({ type: 'send', channel: 'room', ...more });
export const subscribe = (channel: string, more: Partial<Subscribe> = {}): Subscribe => ({ type: 'subscribe', channel, ...more });
export const cut: End = { kind: 'lost', reason: 'cut' };
export const closed = (code: number): End => ({ kind: 'closed', code });

/** A welcome to session `n`, incarnation 1, that goes on where the client is. */
export const welcome = (n: number, resumed: boolean, more: Partial<Welcome> = {}): Welcome => ({
  type: 'welcome',
  session: `session ${n}`,
  token: `token ${n}`,
  incarnation: 1,
  link: 7,
  resumed,
  next: 1,
  received: 0,
  time: 0,
  heartbeatMs: 15_000,
  resumeWindowMs: 120_000,
  windowMs: 0,
  backoff: { baseMs: 1_000, capMs: 30_000 },
  ...more,
});

/** The commands in a message. */
export function commands(frames: readonly UpFrame[]): { first: number; items: readonly Command[]; ack?: number } | undefined {
  return frames.find((frame) => frame.type === 'commands');
}

/** Numbers from 0 to 1 that repeat themselves. */
export function randomness(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Of<K extends Output['do']> = Extract<Output, { do: K }>;
type Hears<K extends Incoming['hear']> = Extract<Incoming, { hear: K }>;

/** How many milliseconds after the epoch a bench begins. */
export const WALL_MS = 1_000_000_000;

export class Bench {
  readonly core: CoreLike;
  now = 0;
  /** For how long the machine slept: only the wall clock went on. */
  sleptMs = 0;
  /** Whether handshakes are not answered. Otherwise they are at once, and what is said first shows with its opening. */
  hangs = false;
  readonly #outputs: Output[] = [];
  readonly #polls = new Map<number, number>();
  readonly open = new Map<number, TransportName>();
  readonly #outcomes = new Map<number, Outcome>();
  #tickets = 0;

  constructor(transports: readonly TransportName[], options: Partial<CoreOptions> = {}) {
    this.core = newCore({
      transports: transports.map((name) => ({ name, isDuplex: name === 'websocket' || name === 'webtransport' })),
      negotiates: false,
      isSecure: false,
      client: { name: 'test', version: '0' },
      timing: defaultTiming,
      commands: 1_024,
      random: randomness(1),
      nowMs: 0,
      wall: () => WALL_MS + this.now + this.sleptMs,
      ...options,
    });
  }

  /** A bench whose session 1 is up on one link, whose name is returned. */
  static up(transport: TransportName, options: Partial<CoreOptions> = {}): [Bench, number] {
    const bench = new Bench([...new Set([transport, 'websocket', 'polling', 'sse'] as const)], options);
    const [link] = bench.opened();
    bench.down(link, welcome(1, false));
    return [bench, link];
  }

  /** Lets the core do what is due, and returns all it wants done. */
  run(): Output[] {
    this.#settle();
    return this.#outputs.splice(0);
  }

  #settle(): void {
    this.core.settle(this.now);
    for (;;) {
      const output = this.core.pollOutput();
      if (!output) return;
      if (output.do === 'close') {
        this.open.delete(output.link);
        this.#polls.delete(output.link);
      }
      if (output.do === 'settle') {
        assert.ok(!this.#outcomes.has(output.ticket), `ticket ${output.ticket} is settled once`);
        this.#outcomes.set(output.ticket, output.outcome);
        continue;
      }
      if (output.do === 'poll') this.#polls.set(output.link, output.attach);
      const opening = output.do === 'transmit' && output.message[0]?.type === 'hello' && this.#outputs.find((other) => other.do === 'open' && other.link === output.link);
      if (opening) {
        this.#outputs[this.#outputs.indexOf(opening)] = { ...(opening as Of<'open'>), hello: output.message };
        continue;
      }
      this.#outputs.push(output);
      if (output.do !== 'open') continue;
      this.open.set(output.link, output.transport);
      if ((output.transport === 'websocket' || output.transport === 'webtransport') && !this.hangs) {
        this.core.handleOpened(this.now, output.link);
        this.core.settle(this.now);
      }
    }
  }

  /** Time passes; whatever is due meanwhile is done when it is due. */
  pass(ms: number): void {
    const until = this.now + ms;
    this.#settle();
    for (let rounds = 0; ; rounds++) {
      const deadline = Math.max(this.core.deadline(), this.now);
      if (deadline > until) break;
      assert.ok(rounds < 10_000, `spins at ${this.now}`);
      this.now = deadline;
      this.#settle();
    }
    this.now = until;
  }

  /** Time passes until something is due, which is not done yet. */
  wait(): void {
    this.now = Math.max(this.now, this.core.deadline());
  }

  /** The page sleeps: time passes, and nothing is done. */
  sleep(ms: number): void {
    this.now += ms;
  }

  /** What of one kind is wanted now. */
  all<K extends Output['do']>(kind: K): Of<K>[] {
    return this.run().filter((output): output is Of<K> => output.do === kind);
  }

  one<K extends Output['do']>(kind: K): Of<K> {
    const outputs = this.run();
    const found = outputs.find((output): output is Of<K> => output.do === kind);
    assert.ok(found, `${kind} in ${JSON.stringify(outputs)}`);
    return found;
  }

  /** The link that is opened now, and what it says first. */
  opening(): [number, readonly UpFrame[]] {
    const outputs = this.run();
    const open = outputs.find((output) => output.do === 'open');
    assert.ok(open, `a link in ${JSON.stringify(outputs)}`);
    const poll = outputs.find((output) => output.do === 'poll' && output.link === open.link) as Of<'poll'> | undefined;
    return [open.link, poll ? poll.message : open.hello];
  }

  opened(): [number, Hello] {
    const [link, message] = this.opening();
    return [link, helloOf(message)];
  }

  /** The poll that goes out now. */
  polled(): Hello {
    return helloOf(this.one('poll').message);
  }

  /** All that is said on duplex links now, but for what was tried. */
  said(): UpFrame[] {
    return this.all('transmit').flatMap(({ message }) => message.filter(({ type }) => type !== 'tried'));
  }

  /** Frames come down: on a poll, as the answer to the latest one. The application takes nothing yet. */
  down(link: number, ...frames: DownFrame[]): void {
    const attach = this.#polls.get(link);
    if (attach === undefined) return this.core.handleFrames(this.now, link, frames);
    this.#polls.delete(link);
    this.core.handleAnswer(this.now, link, attach, frames);
  }

  answer(post: Of<'post'>, ...frames: DownFrame[]): void {
    this.core.handlePosted(this.now, post.link, post.post, frames);
  }

  loses(post: Of<'post'>): void {
    this.core.handlePosted(this.now, post.link, post.post, 'lost');
  }

  ends(link: number, end: End = cut): void {
    this.open.delete(link);
    this.#polls.delete(link);
    this.core.handleEnded(this.now, link, end);
  }

  command(command: Command): number {
    this.core.command(this.now, command, ++this.#tickets);
    return this.#tickets;
  }

  migrate(transport: TransportName): number {
    this.core.migrate(this.now, transport, ++this.#tickets);
    return this.#tickets;
  }

  /** What came of a ticket, if anything has. */
  outcome(ticket: number): Outcome | undefined {
    this.#settle();
    return this.#outcomes.get(ticket);
  }

  /** The application takes all there is. */
  taken(): Incoming[] {
    const all: Incoming[] = [];
    for (let incoming = this.core.pollIncoming(); incoming; incoming = this.core.pollIncoming()) all.push(incoming);
    return all;
  }

  heard<K extends Incoming['hear']>(kind: K): Hears<K>[] {
    return this.taken().filter((incoming): incoming is Hears<K> => incoming.hear === kind);
  }

  /** The link there is on this transport. */
  link(transport: TransportName): number {
    const found = [...this.open].find(([, name]) => name === transport)?.[0];
    assert.ok(found !== undefined, `a link on ${transport}`);
    return found;
  }

  /** What a page that is loaded now begins with, as storage gives it back. */
  saved(): Saved {
    const { saved } = this.core;
    assert.ok(saved, 'a session to keep');
    return structuredClone(saved);
  }
}

export function helloOf(message: readonly UpFrame[]): Hello {
  const [hello] = message;
  assert.ok(hello?.type === 'hello', `a hello in ${JSON.stringify(message)}`);
  return hello;
}
