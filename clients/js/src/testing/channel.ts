/** A channel of a gateway in memory: a log of events, and who takes part. */

import type { Event, Member, Payload, Position, Sender } from '../protocol.js';

export interface Published extends Payload {
  readonly name?: string;
  readonly key?: string;
  readonly meta?: Readonly<Record<string, string>>;
  readonly sender?: Sender;
}

/** Why events are not there any more. */
export type Loss = 'trimmed' | 'conflated';

export class FakeChannel {
  readonly name: string;
  readonly members = new Map<string, Member>();
  #epoch = 1;
  #head = 0;
  #events: Event[] = [];
  #loss: Loss = 'trimmed';

  constructor(name: string) {
    this.name = name;
  }

  /** The place of the last event. */
  get position(): Position {
    return { epoch: `e${this.#epoch}`, offset: this.#head };
  }

  publish(published: Published, time: number): Position {
    this.#head += 1;
    this.#events.push({ type: 'event', channel: this.name, offset: this.#head, time, ...published });
    return this.position;
  }

  /** So many events were, and are not kept. */
  lose(count: number, loss: Loss): void {
    this.#head += count;
    this.#events = [];
    this.#loss = loss;
  }

  /** Begins anew: what was is not known any more. */
  beginAnew(): void {
    this.#epoch += 1;
    this.#head = 0;
    this.#events = [];
  }

  /** What follows a place: an event, where a hole ends, or nothing yet. */
  after({ epoch, offset }: Position): Event | { readonly to: Position; readonly reason: 'epoch' | Loss } | undefined {
    const { position } = this;
    const before = { epoch: position.epoch, offset: (this.#events[0]?.offset ?? this.#head + 1) - 1 };
    if (epoch !== position.epoch || offset > position.offset) return { to: before, reason: 'epoch' };
    if (offset < before.offset) return { to: before, reason: this.#loss };
    return this.#events.find((event) => event.offset === offset + 1);
  }

  /** The place before the newest so many that are kept. */
  last(count: number): Position {
    const { epoch, offset } = this.position;
    return { epoch, offset: offset - Math.min(count, this.#events.length) };
  }
}
