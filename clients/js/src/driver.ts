/**
 * Drives the core: the one place with a clock and links.
 *
 * What the application wants and what links report changes the core at once; what follows from it is done in one *turn*,
 * when the current task is over, so that what comes together goes out together. A turn settles the core, has kept what
 * the next page needs before anything of it is said, does what the core wants done, tells what there is to hear, and sets
 * the one timer. Whoever is told may send, leave or close: that is another turn.
 */

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

/** What the world and the application do to a core: its name, and what it is about. */
type Name = keyof CoreLike & ('command' | 'volatile' | 'migrate' | 'authenticate' | 'close' | 'holdBack' | `handle${string}`);
type About<Change> = Change extends (nowMs: number, ...about: infer Rest) => unknown ? Rest : never;

/** Changes the core, which then has a turn. Nothing comes of it before there is a core, nor once all is over. */
export type Change = <To extends Name>(name: To, ...about: About<CoreLike[To]>) => ReturnType<CoreLike[To]> | undefined;

export type Settle = (outcome: Outcome) => void;

export interface Driver {
  /** Begins, once it is known what the page before has left. */
  start(core: CoreLike): void;
  /** Changes the core, now or when there is one. */
  readonly change: Change;
  /** Has a turn, though nothing has changed. */
  wake(): void;
  /** Numbers a command in its turn. `settle` is told within a turn, before anything is heard. */
  request(command: Command, settle: Settle): void;
  /** A ticket for something that is settled later. */
  ticket(settle: Settle): number;
  /** Waits for what the core settles under a ticket of its own: a command of the page before. */
  await(ticket: number, settle: Settle): void;
  /** The name of the codec of the link that carries the session. */
  readonly codec: string;
  /** Drops the link there is, as a failing network would. */
  cut(): void;
}

export function driver(surroundings: Surroundings, transports: readonly Transport[], audience: Audience): Driver {
  const { clock } = surroundings;
  let core: CoreLike | undefined;
  let isWoken = false;
  let isOver = false;
  /** What was wanted before there was a core. */
  const early: (() => void)[] = [];
  /** Commands that wait until the core has room. */
  const queue: { readonly command: Command; readonly settle: Settle }[] = [];
  let tickets = 0;
  const waiting = new Map<number, Settle>();
  const links = new Map<number, Link>();
  let timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  const change: Change = (name, ...about) => {
    if (isOver) return undefined;
    if (!core) {
      early.push(() => change(name, ...about));
      return undefined;
    }
    wake();
    const act = core[name] as (nowMs: number, ...about: readonly unknown[]) => ReturnType<CoreLike[typeof name]>;
    return act(clock.now(), ...about);
  };

  function ticket(settle: Settle): number {
    waiting.set(++tickets, settle);
    return tickets;
  }

  function wake(): void {
    if (isWoken || isOver || !core) return;
    isWoken = true;
    queueMicrotask(turn);
  }

  function turn(): void {
    isWoken = false;
    if (!core || isOver) return;
    while (core.hasRoom) {
      const next = queue.shift();
      if (!next) break;
      core.command(clock.now(), next.command, ticket(next.settle));
    }
    core.settle(clock.now());
    // L9: before what it covers is acknowledged or said.
    audience.keep(core.saved);
    audience.settled(core);
    for (let output = core.pollOutput(); output; output = core.pollOutput()) perform(output);
    if (core.isClosed) {
      // Somebody who was told of this turn may have closed it: nobody is told of another.
      audience.keep(undefined);
      audience.settled(core);
      finish();
    }
    for (let incoming = core.pollIncoming(); incoming; incoming = core.pollIncoming()) {
      // What was heard may be acknowledged now, though nothing else happens.
      wake();
      audience.hear(incoming);
    }
    audience.turned(core);
    setTimer(core.deadline());
  }

  function perform(output: Output): void {
    switch (output.do) {
      case 'open':
        return open(output);
      case 'poll':
        return links.get(output.link)?.poll(output.attach, output.message, output.isBare);
      case 'post':
        return links.get(output.link)?.post(output.post, output.message);
      case 'transmit':
        return links.get(output.link)?.[output.isVolatile ? 'transmitVolatile' : 'transmit'](output.message);
      case 'close':
        return close(output.link, output.inPeace);
      case 'remember':
        return audience.remember(output.verdict);
      case 'settle':
        return settle(output.ticket, output.outcome);
    }
  }

  function open({ link, transport, offer, hello }: Extract<Output, { do: 'open' }>): void {
    const ended = (end: End): void => {
      links.delete(link);
      change('handleEnded', link, end);
    };
    const events: LinkEvents = {
      opened: () => void change('handleOpened', link),
      received: (frames) => void change('handleFrames', link, frames),
      alive: () => void change('handleAlive', link),
      answered: (attach, frames) => void change('handleAnswer', link, attach, frames),
      posted: (post, answer) => void change('handlePosted', link, post, answer),
      ended,
    };
    try {
      const opened = transports.find(({ name }) => name === transport)?.open({ ...surroundings, offer, hello, events });
      if (opened) links.set(link, opened);
    } catch (error) {
      ended({ kind: 'failed', outcome: 'refused', reason: String(error) });
    }
  }

  /** One that is closed in peace is there until it has ended, or is closed at once. */
  function close(link: number, inPeace: boolean): void {
    links.get(link)?.close(inPeace);
    if (!inPeace) links.delete(link);
  }

  function settle(ticket: number, outcome: Outcome): void {
    const told = waiting.get(ticket);
    waiting.delete(ticket);
    told?.(outcome);
  }

  /** Nothing more will happen. */
  function finish(): void {
    isOver = true;
    for (const link of [...links.keys()]) close(link, false);
    for (const { settle } of queue.splice(0)) settle({ kind: 'closed' });
    for (const ticket of [...waiting.keys()]) settle(ticket, { kind: 'closed' });
  }

  function setTimer(atMs: number): void {
    if (timer?.atMs === atMs && !isOver) return;
    timer?.cancel();
    timer = undefined;
    if (isOver || atMs === Infinity) return;
    const cancel = clock.after(Math.max(0, atMs - clock.now()), () => {
      timer = undefined;
      turn();
    });
    timer = { atMs, cancel };
  }

  return {
    get codec() {
      return links.get(core?.carrier ?? 0)?.codec ?? surroundings.codec.name;
    },
    start(begun) {
      core = begun;
      for (const change of early.splice(0)) change();
      wake();
    },
    change,
    wake,
    request(command, settle) {
      if (isOver) settle({ kind: 'closed' });
      else queue.push({ command, settle });
      wake();
    },
    ticket,
    await: (ticket, settle) => void waiting.set(ticket, settle),
    cut() {
      const link = core?.active;
      if (link === undefined || isOver) return;
      close(link, false);
      change('handleEnded', link, { kind: 'lost', reason: 'cut' });
    },
  };
}
