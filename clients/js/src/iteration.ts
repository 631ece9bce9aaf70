/**
 * One loop over what happens in a channel. What it has not taken waits here, and the session acknowledges nothing from
 * there on: so the gateway's window bounds what waits, and nothing is lost.
 */

interface Waiting<T> {
  readonly value: T;
  /** The item behind it, in the session that stands. */
  number: number | undefined;
}

type Result<T> = IteratorResult<T> | Promise<never>;

const done = (): Result<never> => ({ value: undefined, done: true });

export class Iteration<T> implements AsyncIterableIterator<T> {
  readonly #changed: (iteration: Iteration<T>) => void;
  readonly #queue: Waiting<T>[] = [];
  /** The loop's own calls that wait. */
  readonly #wanting: ((result: Result<T>) => void)[] = [];
  /** What it is told that wants more, once nothing more comes. */
  #end: (() => Result<T>) | undefined;

  /** `changed` is told whenever `oldest` may be another, and when it is done with. */
  constructor(changed: (iteration: Iteration<T>) => void) {
    this.#changed = changed;
  }

  /** The number of the oldest item that the loop has not taken; `Infinity` where there is none. */
  get oldest(): number {
    return this.#queue.find(({ number }) => number !== undefined)?.number ?? Infinity;
  }

  /** Whether nothing more comes out of it. */
  get isDone(): boolean {
    return !!this.#end && !this.#queue.length;
  }

  push(value: T, number: number | undefined): void {
    if (this.#end) return;
    const wanting = this.#wanting.shift();
    if (wanting) return wanting({ value, done: false });
    this.#queue.push({ value, number });
    this.#changed(this);
  }

  /** The session is lost: its numbers mean nothing any more. */
  disown(): void {
    for (const waiting of this.#queue) waiting.number = undefined;
  }

  /** Nothing more comes; what waits is still taken. Then the loop ends, or throws. */
  finish(error?: Error): void {
    this.#end ??= error ? () => Promise.reject(error) : done;
    // Nobody has to wait for a loop that gets nothing new.
    this.disown();
    for (const wanting of this.#wanting.splice(0)) wanting(this.#end());
    this.#changed(this);
  }

  async next(): Promise<IteratorResult<T>> {
    const waiting = this.#queue.shift();
    if (waiting) {
      this.#changed(this);
      return { value: waiting.value, done: false };
    }
    const end = this.#end;
    if (!end) return new Promise((resolve) => this.#wanting.push(resolve));
    // It is thrown once; then the loop is over like any other.
    this.#end = done;
    return end();
  }

  async return(): Promise<IteratorResult<T>> {
    this.#queue.length = 0;
    this.finish();
    return done();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
