/** What is said and not kept: numbered by the sender, dropped where it is late, never said twice (docs/protocol.md, Volatiles). */

import type { VolatileDown, VolatileUp } from '../protocol.js';

/** How many wait for the next post of a link without an upward direction of its own; past it the oldest go. */
const WAITING = 16;

/** Of how many senders the last number is remembered; past it the one heard longest ago goes. */
const SENDERS = 1_024;

export class Volatiles {
  #seq = 0;
  /** By channel and name: of each only the newest waits. */
  readonly #waiting = new Map<string, VolatileUp>();
  /** The last number of each sender in each channel, heard longest ago first. Names of channels have no space. */
  readonly #heard = new Map<string, number>();

  /** Numbers begin with the clock, so that they are above those of the page that was here before. */
  number(wallMs: number): number {
    return (this.#seq = Math.max(Math.floor(wallMs), this.#seq + 1));
  }

  /** Lets one wait for the next post. */
  wait(volatile: VolatileUp): void {
    const key = `${volatile.channel} ${volatile.name ?? ''}`;
    this.#waiting.delete(key);
    this.#waiting.set(key, volatile);
    trim(this.#waiting, WAITING);
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** Those that wait, oldest first, as far as `fits` takes them; the others go on waiting. */
  drain(fits: (volatile: VolatileUp) => boolean): VolatileUp[] {
    const said: VolatileUp[] = [];
    for (const [key, volatile] of this.#waiting) {
      if (!fits(volatile)) break;
      this.#waiting.delete(key);
      said.push(volatile);
    }
    return said;
  }

  /** Whether one that came down is news. */
  isNews({ channel, sender, seq }: VolatileDown): boolean {
    const key = `${channel} ${sender?.session ?? ''}`;
    if (seq <= (this.#heard.get(key) ?? -1)) return false;
    this.#heard.delete(key);
    this.#heard.set(key, seq);
    trim(this.#heard, SENDERS);
    return true;
  }

  /** A channel is left; without a name, another session begins. */
  forget(channel?: string): void {
    if (channel === undefined) this.#waiting.clear();
    for (const key of this.#heard.keys()) {
      if (channel === undefined || key.startsWith(`${channel} `)) this.#heard.delete(key);
    }
  }
}

/** The oldest entry goes where there is one too many. */
function trim(map: Map<string, unknown>, most: number): void {
  const [oldest] = map.keys();
  if (map.size > most && oldest !== undefined) map.delete(oldest);
}
