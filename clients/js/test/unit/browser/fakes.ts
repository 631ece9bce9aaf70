/** A clock, a storage, locks and a page that do as they are told. */

import type { Clock } from '../../../src/clock.js';
import type { Platform } from '../../../src/browser/environment.js';
import type { Locks } from '../../../src/browser/reload.js';

/** Lets everything happen that waits for nothing but its turn. */
export const idle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class FakeClock implements Clock {
  #nowMs = 0;
  #wallMs = 1_000_000;
  #timers: { readonly atMs: number; readonly then: () => void }[] = [];

  now = (): number => this.#nowMs;
  wall = (): number => this.#wallMs;

  after(ms: number, then: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, then };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Time passes, timer by timer. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      this.#timers.sort((a, b) => a.atMs - b.atMs);
      const next = this.#timers[0];
      if (!next || next.atMs > untilMs) break;
      this.#timers.shift();
      this.#pass(Math.max(0, next.atMs - this.#nowMs));
      next.then();
    }
    this.#pass(untilMs - this.#nowMs);
  }

  /** The machine sleeps: only the wall clock goes on, as it does on most platforms. */
  sleep(ms: number): void {
    this.#wallMs += ms;
  }

  #pass(ms: number): void {
    this.#nowMs += ms;
    this.#wallMs += ms;
  }
}

export class FakeStorage {
  readonly items: Map<string, string>;
  writes = 0;
  /** What it throws when it is written to, or whatever it is asked. */
  refusesWrites: Error | undefined;
  refusesAll: Error | undefined;

  /** A duplicated tab begins with a copy. */
  constructor(copied?: FakeStorage) {
    this.items = new Map(copied?.items);
  }

  getItem(key: string): string | null {
    if (this.refusesAll) throw this.refusesAll;
    return this.items.get(key) ?? null;
  }

  setItem(key: string, text: string): void {
    const refusal = this.refusesAll ?? this.refusesWrites;
    if (refusal) throw refusal;
    this.writes++;
    this.items.set(key, text);
  }

  removeItem(key: string): void {
    if (this.refusesAll) throw this.refusesAll;
    this.items.delete(key);
  }
}

/** Locks of a browser that is later with what is waited for than anybody waits. */
export const late = (locks: Locks): Locks => ({
  request: (name, options, granted) =>
    'signal' in options
      ? new Promise((_, reject) => options.signal.addEventListener('abort', () => reject(options.signal.reason as Error)))
      : locks.request(name, options, granted),
});

/** The locks of one origin: granted in order, held until what they were granted for is over. */
export class FakeLocks implements Locks {
  readonly held = new Set<string>();
  requests = 0;
  #waiting: { readonly name: string; readonly grant: () => void }[] = [];

  request(
    name: string,
    options: { readonly signal: AbortSignal } | { readonly ifAvailable: true },
    granted: (lock: unknown) => Promise<void>,
  ): Promise<unknown> {
    this.requests++;
    return new Promise((resolve, reject) => {
      const grant = (): void => {
        this.held.add(name);
        void granted({ name }).then(() => {
          this.held.delete(name);
          resolve(undefined);
          this.#next();
        });
      };
      const waiting = { name, grant };
      if ('signal' in options) {
        const { signal } = options;
        this.#waiting.push(waiting);
        signal.addEventListener('abort', () => {
          if (!this.#waiting.includes(waiting)) return;
          this.#waiting = this.#waiting.filter((other) => other !== waiting);
          reject(signal.reason as Error);
        });
      }
      queueMicrotask(() => {
        if ('signal' in options) this.#next();
        else if (this.held.has(name)) resolve(granted(null));
        else grant();
      });
    });
  }

  #next(): void {
    const next = this.#waiting.find(({ name }) => !this.held.has(name));
    if (!next) return;
    this.#waiting = this.#waiting.filter((other) => other !== next);
    next.grant();
    this.#next();
  }
}

/** A window with a document. */
export class FakePage extends EventTarget implements Platform {
  readonly document = Object.assign(new EventTarget(), { hidden: false });
  readonly navigator = { onLine: true, connection: Object.assign(new EventTarget(), { type: 'wifi' }) };
  /** Tells the page's observers over what an answer came. */
  readonly answered: (name: string, nextHopProtocol: string) => void;
  readonly PerformanceObserver: typeof PerformanceObserver;

  constructor() {
    super();
    const observers = new Set<PerformanceObserverCallback>();
    this.answered = (name, nextHopProtocol) => {
      const list = { getEntries: () => [{ name, nextHopProtocol }] } as unknown as PerformanceObserverEntryList;
      for (const observer of observers) observer(list, undefined as never);
    };
    class FakeObserver {
      readonly #callback: PerformanceObserverCallback;
      constructor(callback: PerformanceObserverCallback) {
        this.#callback = callback;
      }
      observe(): void {
        observers.add(this.#callback);
      }
      disconnect(): void {
        observers.delete(this.#callback);
      }
    }
    this.PerformanceObserver = FakeObserver as unknown as typeof PerformanceObserver;
  }

  hide(hidden: boolean): void {
    this.document.hidden = hidden;
    this.document.dispatchEvent(new Event('visibilitychange'));
  }

  tell(name: string, persisted?: boolean): void {
    this.dispatchEvent(Object.assign(new Event(name), persisted === undefined ? {} : { persisted }));
  }
}
