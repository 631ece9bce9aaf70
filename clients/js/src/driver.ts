/**
 * Drives the core: the one place with a clock and links.
 *
 * What the application wants and what links report changes the core at once; what follows from it is done in one *turn*,
 * when the current task is over, so that what comes together goes out together. A turn settles the core, has kept what
 * the next page needs before anything of it is said, does what the core wants done, tells what there is to hear, and sets
 * the one timer. Whoever is told may send, leave or close: that is another turn.
 */

import type { Clock } from './clock.js';
import type { CoreLike } from './core/core.js';
import type { Incoming, Outcome, Output, Saved, Verdict } from './core/output.js';
import type { Command } from './protocol.js';
import type { End, Link, LinkEvents, Opening, Transport } from './transports/transport.js';

/** Who is told what happens. */
export interface Audience {
  /** Something may have changed: told before outcomes, so that whoever hears of one finds the state that it came with. */
  settled(core: CoreLike): void;
  keep(saved: Saved | undefined): void;
  remember(verdict: Verdict | undefined): void;
  hear(incoming: Incoming): void;
  /** All of this turn is told. */
  turned(core: CoreLike): void;
}

/** What every link is opened with. */
export type Surroundings = Pick<Opening, 'base' | 'codec' | 'clock' | 'connectMs'>;

/** Changes the core, which then has a turn. */
export type Change = (core: CoreLike, nowMs: number) => void;

export type Settle = (outcome: Outcome) => void;

export class Driver {
  readonly #clock: Clock;
  readonly #surroundings: Surroundings;
  readonly #transports: readonly Transport[];
  readonly #audience: Audience;
  #core: CoreLike | undefined;
  #isWoken = false;
  #isOver = false;
  /** What was wanted before there was a core. */
  readonly #early: Change[] = [];
  /** Commands that wait until the core has room. */
  readonly #queue: { readonly command: Command; readonly settle: Settle }[] = [];
  #tickets = 0;
  readonly #waiting = new Map<number, Settle>();
  readonly #links = new Map<number, Link>();
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(surroundings: Surroundings, transports: readonly Transport[], audience: Audience) {
    this.#clock = surroundings.clock;
    this.#surroundings = surroundings;
    this.#transports = transports;
    this.#audience = audience;
  }

  /** Begins, once it is known what the page before has left. */
  start(core: CoreLike): void {
    this.#core = core;
    for (const change of this.#early.splice(0)) this.change(change);
    this.#wake();
  }

  /** Changes the core, now or when there is one. */
  change(change: Change): void {
    if (this.#isOver) return;
    if (!this.#core) {
      this.#early.push(change);
      return;
    }
    change(this.#core, this.#clock.now());
    this.#wake();
  }

  /** Numbers a command in its turn. `settle` is told within a turn, before anything is heard. */
  request(command: Command, settle: Settle): void {
    if (this.#isOver) {
      settle({ kind: 'closed' });
      return;
    }
    this.#queue.push({ command, settle });
    this.#wake();
  }

  /** A ticket for something that is settled later. */
  ticket(settle: Settle): number {
    this.#waiting.set(++this.#tickets, settle);
    return this.#tickets;
  }

  /** Waits for what the core settles under a ticket of its own: a command of the page before. */
  await(ticket: number, settle: Settle): void {
    this.#waiting.set(ticket, settle);
  }

  /** Drops the link there is, as a failing network would. */
  cut(): void {
    this.change((core, nowMs) => {
      const link = core.active;
      if (link === undefined) return;
      this.#close(link, false);
      core.handleEnded(nowMs, link, { kind: 'lost', reason: 'cut' });
    });
  }

  #wake(): void {
    if (this.#isWoken || !this.#core) return;
    this.#isWoken = true;
    queueMicrotask(() => this.#turn());
  }

  #turn(): void {
    this.#isWoken = false;
    const core = this.#core;
    if (!core || this.#isOver) return;
    const nowMs = this.#clock.now();
    while (core.hasRoom) {
      const next = this.#queue.shift();
      if (!next) break;
      core.command(nowMs, next.command, this.ticket(next.settle));
    }
    core.settle(nowMs);
    // L9: before what it covers is acknowledged or said.
    this.#audience.keep(core.saved);
    this.#audience.settled(core);
    for (let output = core.pollOutput(); output; output = core.pollOutput()) this.#perform(output);
    if (core.isClosed) this.#finish();
    let hasHeard = false;
    for (let incoming = core.pollIncoming(); incoming; incoming = core.pollIncoming()) {
      hasHeard = true;
      this.#audience.hear(incoming);
    }
    this.#audience.turned(core);
    // What was heard may be acknowledged now, though nothing else happens.
    if (hasHeard) this.#wake();
    this.#setTimer(core.deadline());
  }

  #perform(output: Output): void {
    switch (output.do) {
      case 'open':
        return this.#open(output);
      case 'poll':
        return this.#links.get(output.link)?.poll(output.attach, output.message, output.isBare);
      case 'post':
        return this.#links.get(output.link)?.post(output.post, output.message);
      case 'transmit': {
        const link = this.#links.get(output.link);
        return output.isVolatile ? link?.transmitVolatile(output.message) : link?.transmit(output.message);
      }
      case 'close':
        return this.#close(output.link, output.inPeace);
      case 'remember':
        return this.#audience.remember(output.verdict);
      case 'settle':
        return this.#settle(output.ticket, output.outcome);
    }
  }

  #open({ link, transport, offer, hello }: Extract<Output, { do: 'open' }>): void {
    const ended = (end: End): void => {
      this.#links.delete(link);
      this.change((core, nowMs) => core.handleEnded(nowMs, link, end));
    };
    const events: LinkEvents = {
      opened: () => this.change((core, nowMs) => core.handleOpened(nowMs, link)),
      received: (frames) => this.change((core, nowMs) => core.handleFrames(nowMs, link, frames)),
      alive: () => this.change((core, nowMs) => core.handleAlive(nowMs, link)),
      answered: (attach, frames) => this.change((core, nowMs) => core.handleAnswer(nowMs, link, attach, frames)),
      posted: (post, answer) => this.change((core, nowMs) => core.handlePosted(nowMs, link, post, answer)),
      ended,
    };
    try {
      const opened = this.#transports.find(({ name }) => name === transport)?.open({ ...this.#surroundings, offer, hello, events });
      if (opened) this.#links.set(link, opened);
    } catch (error) {
      ended({ kind: 'failed', outcome: 'refused', reason: String(error) });
    }
  }

  /** One that is closed in peace is there until it has ended, or is closed at once. */
  #close(link: number, inPeace: boolean): void {
    this.#links.get(link)?.close(inPeace);
    if (!inPeace) this.#links.delete(link);
  }

  #settle(ticket: number, outcome: Outcome): void {
    const settle = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    settle?.(outcome);
  }

  /** Nothing more will happen. */
  #finish(): void {
    this.#isOver = true;
    for (const link of [...this.#links.keys()]) this.#close(link, false);
    for (const { settle } of this.#queue.splice(0)) settle({ kind: 'closed' });
    for (const ticket of [...this.#waiting.keys()]) this.#settle(ticket, { kind: 'closed' });
  }

  #setTimer(atMs: number): void {
    if (this.#timer?.atMs === atMs && !this.#isOver) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#isOver || atMs === Infinity) return;
    const cancel = this.#clock.after(Math.max(0, atMs - this.#clock.now()), () => {
      this.#timer = undefined;
      this.#turn();
    });
    this.#timer = { atMs, cancel };
  }
}
