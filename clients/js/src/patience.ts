/** Waiting: until something is done or nobody wants it any more, and before it is tried again. */

import type { Random } from './clock.js';

/** How long the first and the longest wait before another try may be. */
const BASE_MS = 1_000;
const CAP_MS = 30_000;

/** How long to wait after so many failures in a row: a random part of a bound that doubles. */
export function backoffMs(failures: number, random: Random): number {
  return failures && random() * Math.min(CAP_MS, BASE_MS * 2 ** (failures - 1));
}

/** What becomes of `promise`, unless the signal is aborted first: then its reason. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
