/**
 * Time and chance, handed in: whoever tests timing hands in a clock that stands still until it is told to go on
 * (`throughline-client/testing`), and randomness that repeats itself.
 */

/** Reads time and wakes up. */
export interface Clock {
  /** Milliseconds of a clock that never goes back; where it began means nothing. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /** Calls back once, not before so many milliseconds. Returns how to take it back. */
  after(ms: number, then: () => void): () => void;
}

/** A number from 0 (inclusive) to 1 (exclusive), as `Math.random` gives it. No source of secrets. */
export type Random = () => number;

/** The longest that a platform's timer counts; past it they ring at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** The platform's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, then) {
    const timer = setTimeout(then, Math.min(Math.max(0, ms), LONGEST_MS));
    return () => clearTimeout(timer);
  },
};
