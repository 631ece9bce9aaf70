/**
 * Remembers over page loads which transport worked with a gateway: in `localStorage`, which all pages of an origin share.
 *
 * There is no secret in it. How long it counts is for negotiation to say (a day), so what is stored is only looked at for
 * its shape. Where there is no such storage, or it refuses, it is remembered for as long as this session lives.
 */

import { readObject } from '../codec/json.js';
import type { Verdict } from '../core/output.js';
import type { VerdictStore } from '../options.js';

/** The store of a page for the gateway that is mounted at `base`. `storage` is `localStorage`, unless something else is handed in. */
export function verdictStore(base: URL, storage: () => Shelf | undefined = thisOrigin): VerdictStore {
  const key = `throughline:verdict:${base.href}`;
  let memory: Verdict | undefined;
  return {
    load() {
      // A transport that is not known any more is not listed either, so its name is not looked at.
      const text = attempt(() => storage()?.getItem(key));
      return text ? attempt(() => readObject('verdict', text) as unknown as Verdict) : memory;
    },
    save(verdict) {
      memory = verdict;
      attempt(() => (verdict ? storage()?.setItem(key, JSON.stringify(verdict)) : storage()?.removeItem(key)));
    },
  };
}

/** Of a `Storage`, what is used. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

function thisOrigin(): Shelf | undefined {
  // A server's platform may have a storage of this name, which is a file.
  return typeof document === 'undefined' ? undefined : localStorage;
}

/** A storage may refuse whatever it is asked. */
function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    return undefined;
  }
}
