/**
 * One loop over what happens in a channel. What it has not taken waits here, and the session acknowledges nothing from
 * there on: so the gateway's window bounds what waits, and nothing is lost.
 */

interface Waiting<T> {
  readonly value: T;
  /** The item behind it, in the session that stands. */
  number: number | undefined;
}

export class Iteration<T> implements AsyncIterableIterator<T> {
  readonly #changed: (iteration: Iteration<T>) => void;
  readonly #queue: Waiting<T>[] = [];
  readonly #wanting: { readonly resolve: (result: IteratorResult<T>) => void; readonly reject: (error: Error) => void }[] = [];
  #end: { readonly error?: Error } | undefined;

  /** `changed` is told whenever `oldest` may be another, and when it is done with. */
  constructor(changed: (iteration: Iteration<T>) => void) {
    this.#changed = changed;
  }

  /** The number of the oldest item that the loop has not taken. */
  get oldest(): number | undefined {
    return this.#queue.find(({ number }) => number !== undefined)?.number;
  }

  /** Whether nothing more comes out of it. */
  get isDone(): boolean {
    return !!this.#end && !this.#queue.length;
  }

  push(value: T, number: number | undefined): void {
    if (this.#end) return;
    const wanting = this.#wanting.shift();
    if (wanting) return wanting.resolve({ value, done: false });
    this.#queue.push({ value, number });
    this.#changed(this);
  }

  /** The session is lost: its numbers mean nothing any more. */
  disown(): void {
    for (const waiting of this.#queue) waiting.number = undefined;
  }

  /** Nothing more comes; what waits is still taken. Then the loop ends, or throws. */
  finish(error?: Error): void {
    this.#end ??= error === undefined ? {} : { error };
    // Nobody has to wait for a loop that gets nothing new.
    this.disown();
    for (const { resolve, reject } of this.#wanting.splice(0)) {
      if (error === undefined) resolve({ value: undefined, done: true });
      else reject(error);
    }
    this.#changed(this);
  }

  next(): Promise<IteratorResult<T>> {
    const waiting = this.#queue.shift();
    if (waiting) {
      this.#changed(this);
      return Promise.resolve({ value: waiting.value, done: false });
    }
    if (!this.#end) return new Promise((resolve, reject) => this.#wanting.push({ resolve, reject }));
    const { error } = this.#end;
    // It is thrown once; then the loop is over like any other.
    this.#end = {};
    return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
  }

  return(): Promise<IteratorResult<T>> {
    this.#queue.length = 0;
    this.finish();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
