/** A clock that stands still until it is told to go on. */

import type { Clock } from '../clock.js';

/** When `wall` begins, unless told otherwise. */
const WALL_MS = 1_764_000_000_000;

interface Timer {
  readonly atMs: number;
  readonly then: () => void;
}

/** A clock that stands still. `await clock.advance(ms)` lets everything happen that is due meanwhile, each at its time. */
export class ManualClock implements Clock {
  readonly #wallMs: number;
  #nowMs = 0;
  #timers: Timer[] = [];

  /** `wallMs` is what `wall` says at first. Default: 1,764,000,000,000. */
  constructor({ wallMs = WALL_MS }: { readonly wallMs?: number } = {}) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#wallMs + this.#nowMs;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), then };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Goes on by so many milliseconds: what is due happens in its order and at its time, with what follows from it. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settled();
    for (let next = this.#next(); next && next.atMs <= endMs; next = this.#next()) {
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.then();
      await settled();
    }
    this.#nowMs = endMs;
  }

  /** How long until the next timer; nothing where there is none. */
  get nextInMs(): number | undefined {
    const next = this.#next();
    return next && next.atMs - this.#nowMs;
  }

  /** The earliest; of equals the one that was set first. */
  #next(): Timer | undefined {
    return this.#timers.reduce<Timer | undefined>((first, timer) => (first && first.atMs <= timer.atMs ? first : timer), undefined);
  }
}

// A test may have replaced the platform's own by the time that it is used.
const platform = globalThis as { readonly setImmediate?: (then: () => void) => unknown };
const soon = platform.setImmediate ?? ((then: () => void) => setTimeout(then, 0));

/** Every promise that can be settled is. */
function settled(): Promise<void> {
  return new Promise((resolve) => void soon(resolve));
}
