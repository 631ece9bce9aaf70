/**
 * The items that came down: counted, turned into positions, and queued for the application in order.
 *
 * Items are counted on receipt, replies are resolved on receipt (L15). What the driver has not taken out of the queue, and
 * what a slow iterator holds back, is not acknowledged: so the gateway's windows bound what waits.
 */

import type { Item, Limits, Position } from '../protocol.js';
import type { Incoming } from './output.js';

/** How many things may wait for the application before what need not be heard is dropped. */
const HINTS = 64;

/** What may wait beside events: replies, gaps, who takes part. A gateway's own bound is 2,048 replies. */
const MOST_BESIDE = 8_192;

/** The largest event for which there is always room. */
const LARGEST_BYTES = 1_048_576;

/** By how much a payload may be longer as this platform writes it: `1e20` has 21 digits here. */
const OVERRATED = 8;

interface Waiting {
  readonly incoming: Incoming;
  /** The item behind it; 0 where there is none, or it was one of a session that is lost. */
  number: number;
}

export class Inbox {
  /** The last item that came. */
  received = 0;
  /** The place in each channel, after every item that came. */
  positions = new Map<string, Position>();
  /** The size of all payloads that came, nearly: as this platform writes them. */
  bytes = 0;
  /** The oldest item that the application has not taken out of its own queues. */
  held = Infinity;
  readonly #queue: Waiting[] = [];
  /** `bytes` before each of the last items that came: of all that are not taken, at least. */
  #before: number[] = [];

  /** The last item that may be acknowledged: the application has it and all before it, or need not see them. */
  get taken(): number {
    const oldest = this.#queue.find((waiting) => waiting.number > 0)?.number ?? Infinity;
    return Math.min(this.received, oldest - 1, this.held - 1);
  }

  /** Whether the application is behind with items. */
  get isBehind(): boolean {
    return this.taken < this.received;
  }

  /** Whether more waits for the application than these windows let through, however it is counted. */
  isFlooded({ unacknowledgedItems, unacknowledgedBytes }: Pick<Limits, 'unacknowledgedItems' | 'unacknowledgedBytes'>): boolean {
    const count = this.received - this.taken;
    this.#before = count ? this.#before.slice(-count) : [];
    const bytes = this.bytes - (this.#before[0] ?? this.bytes);
    return count > 2 * unacknowledgedItems + MOST_BESIDE || bytes > OVERRATED * (unacknowledgedBytes + LARGEST_BYTES);
  }

  /** Counts the next item, moves positions, and queues what the application has to see. */
  take(item: Item, isQuiet: boolean): void {
    const number = ++this.received;
    this.#before.push(this.bytes);
    const incoming = this.#follow(number, item);
    if (incoming && !isQuiet) this.#queue.push({ incoming, number });
  }

  #follow(number: number, item: Item): Incoming | undefined {
    const { positions } = this;
    switch (item.type) {
      case 'event': {
        const epoch = positions.get(item.channel)?.epoch;
        if (epoch !== undefined) positions.set(item.channel, { epoch, offset: item.offset });
        this.bytes += item.bytes ? item.bytes.length : weigh(item.data);
        return { hear: 'event', number, epoch, item };
      }
      case 'subscribed':
        positions.set(item.channel, item.position);
        return { hear: 'subscribed', number, item };
      case 'unsubscribed':
        positions.delete(item.channel);
        return { hear: 'unsubscribed', number, item };
      case 'gap':
        if (item.channel !== undefined && positions.has(item.channel)) positions.set(item.channel, item.to);
        return { hear: 'gap', number, item };
      case 'presence':
        return { hear: 'presence', number, item };
      default:
        // Resolved on receipt, or of a later version: counted, and nothing for the application's queue.
        return undefined;
    }
  }

  /** Queues something that is no item; what need not be heard is dropped while the application has enough to do. */
  note(incoming: Incoming): void {
    if (incoming.hear !== 'volatile' || this.#queue.length < HINTS) this.#queue.push({ incoming, number: 0 });
  }

  /** What the application hears next. */
  poll(): Incoming | undefined {
    return this.#queue.shift()?.incoming;
  }

  /** Another session begins: numbers from 1, nothing subscribed yet, and what is still held is not one of its items. */
  beginAnew(): void {
    this.received = 0;
    this.held = Infinity;
    for (const waiting of this.#queue) waiting.number = 0;
  }
}

/** How many characters a payload was. One so deep that the platform cannot write it is none that a gateway takes. */
function weigh(data: unknown): number {
  try {
    return JSON.stringify(data ?? 0).length;
  } catch {
    return 0;
  }
}
