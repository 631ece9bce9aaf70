/** Who is told what. A listener that throws is reported, and stops nobody. */

import type { Unlisten } from './channel.js';

export class Listeners<Events extends object> {
  /** Aborted when nothing more will be told: nobody's signal is listened to any more. It has the one option of such listeners. */
  readonly over = new AbortController();
  readonly #sets = new Map<keyof Events, Set<{ readonly hear: (what: never) => void }>>();

  on<Name extends keyof Events>(
    name: Name,
    hear: (what: Events[Name]) => void,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Unlisten {
    // One that listens twice is told twice.
    const listener = { hear };
    const set = this.#sets.get(name) ?? new Set();
    this.#sets.set(name, set);
    const off = (): void => {
      set.delete(listener);
      signal?.removeEventListener('abort', off);
    };
    if (!signal?.aborted) {
      set.add(listener);
      signal?.addEventListener('abort', off, this.over);
    }
    return off;
  }

  tell<Name extends keyof Events>(name: Name, what: Events[Name]): void {
    const set = this.#sets.get(name);
    for (const listener of set ? [...set] : []) {
      // One that was taken back by another is not told any more.
      if (set?.has(listener)) shielded(() => (listener.hear as (what: Events[Name]) => void)(what));
    }
  }
}

/** Runs what the application wrote: what it throws is reported as the platform does, and goes no further. */
export function shielded<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch (error) {
    if (typeof reportError === 'function') reportError(error);
    // eslint-disable-next-line no-console -- where the platform has no other place for it
    else console.error(error);
    return undefined;
  }
}
