/**
 * What is behind a `Channel`: it turns the items of a channel into what is told of it.
 *
 * Its session says which items are its own (`open-session.ts`). A snapshot, where there is one, holds events back until
 * they follow it (`snapshot.ts`); what nobody listens to yet waits for the first who does; loops take at their own pace
 * (`iteration.ts`).
 */

import type {
  Channel,
  ChannelEnd,
  ChannelEvents,
  Freshness,
  Happening,
  InnerChannel,
  Reply,
  SendOptions,
  SubscribeOptions,
  Unlisten,
} from './channel.js';
import type { Clock, Random } from './clock.js';
import type { Incoming } from './core/output.js';
import { Rejected, SessionClosed } from './errors.js';
import { freshness } from './freshness.js';
import { Iteration } from './iteration.js';
import { Listeners } from './listeners.js';
import type { Gap, Member, Position, Presence, Subscribed } from './protocol.js';
import { Snapshots } from './snapshot.js';

/** How much waits for the first listener; past it the oldest is dropped, and a gap or a new snapshot says so. */
const MOST_WAITING = 1_024;

/** What a subscription needs of its session. */
export interface Host {
  readonly clock: Clock;
  readonly random: Random;
  readonly id: string | undefined;
  /** Whether a link carries the session. */
  readonly isLive: boolean;
  send(channel: string, data: unknown, options?: SendOptions): Promise<Reply>;
  sendVolatile(channel: string, data: unknown, options?: { readonly name?: string }): boolean;
  /** The last `subscribe` is taken back. */
  leave(subscription: Subscription): Promise<void>;
  /** A loop has another oldest item. */
  held(iteration: Iteration<Happening>): void;
}

export class Subscription implements Channel, InnerChannel {
  readonly name: string;
  readonly subscribed: Promise<Subscribed>;
  position: Position | undefined;
  freshness: Freshness = { name: 'loading' };
  members: ReadonlyMap<string, Member> = new Map();
  end: ChannelEnd | undefined;
  /** The number of the command whose `subscribed` is this one's. */
  command: number | undefined;
  /** How often it was subscribed and not left. */
  count = 0;
  /** Whether it takes part in presence. */
  presence = false;
  /** Whether it stands; otherwise it is not subscribed yet, or being renewed in a new session. */
  stands = false;

  readonly #host: Host;
  readonly #listeners = new Listeners<ChannelEvents<Record<string, unknown>, unknown>>();
  readonly #iterations = new Set<Iteration<Happening>>();
  #snapshots: Snapshots | undefined;
  /** The place after all items that came. */
  #heard: Position | undefined;
  /** What nobody has listened to yet. */
  #unheard: Happening[] | undefined = [];
  /** Up to where of that was dropped. */
  #dropped: Position | undefined;
  #resolve: ((subscribed: Subscribed) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;

  constructor(name: string, host: Host) {
    this.name = name;
    this.#host = host;
    this.subscribed = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Whoever does not wait for it hears of the end by `unsubscribed`.
    this.subscribed.catch(() => {});
  }

  get me(): string | undefined {
    return this.#host.id;
  }

  get hasSnapshot(): boolean {
    return !!this.#snapshots;
  }

  get wasHeard(): boolean {
    return !this.#unheard;
  }

  on<Name extends keyof ChannelEvents<Record<string, unknown>, unknown>>(
    name: Name,
    listener: (what: ChannelEvents<Record<string, unknown>, unknown>[Name]) => void,
    options?: { readonly signal?: AbortSignal },
  ): Unlisten {
    if (name === 'event' || name === 'gap' || name === 'snapshot') this.#catchUp();
    return this.#listeners.on(name, listener, options);
  }

  [Symbol.asyncIterator](): AsyncIterator<Happening> {
    const iteration = new Iteration<Happening>((changed) => {
      if (changed.isDone) this.#iterations.delete(changed);
      this.#host.held(changed);
    });
    this.#iterations.add(iteration);
    this.#catchUp();
    if (this.end) iteration.finish(this.end.error);
    return iteration;
  }

  send(data?: unknown, options?: SendOptions): Promise<Reply> {
    return this.#host.send(this.name, data, options);
  }

  sendVolatile(data?: unknown, options?: { readonly name?: string }): boolean {
    return this.#host.sendVolatile(this.name, data, options);
  }

  refresh(): void {
    this.#snapshots?.refresh(this.#heard);
  }

  async leave(): Promise<void> {
    if (!this.end && --this.count <= 0) await this.#host.leave(this);
  }

  // What the session tells it.

  /** Somebody has subscribed. */
  join({ snapshot, signal }: SubscribeOptions): void {
    this.count++;
    const leave = (): void => void this.leave();
    if (signal?.aborted) queueMicrotask(leave);
    signal?.addEventListener('abort', leave, this.#listeners.over);
    if (!snapshot || this.end) return;
    if (this.#snapshots) {
      // Whoever was there first has taken what was told.
      if (!this.#unheard) this.refresh();
      return;
    }
    const { clock, random } = this.#host;
    this.#snapshots = new Snapshots({
      fetch: snapshot,
      clock,
      random,
      tell: (happening) => this.#tell(happening),
      changed: () => this.judgeFreshness(),
    });
    if (this.#heard) this.#snapshots.begin(this.#heard);
  }

  /** It stands: for the first time, in a new session, or after its presence was asked for. */
  begin(item: Subscribed): void {
    const before = this.#heard;
    this.stands = true;
    if (!before) {
      this.#heard = this.position = item.position;
      this.#snapshots?.begin(item.position);
    } else if (item.recovered && (before.epoch !== item.position.epoch || before.offset !== item.position.offset)) {
      // It was not taken up where it was, and nobody says so.
      this.#gap({ type: 'gap', channel: this.name, from: before, to: item.position, exact: false, reason: 'overflow' }, undefined);
    }
    this.#resolve?.(item);
    this.#listeners.tell('subscribed', item);
  }

  /** What is its own, while it stands. */
  hear(incoming: Extract<Incoming, { hear: 'event' | 'gap' | 'presence' | 'presenceLost' | 'volatile' }>): void {
    switch (incoming.hear) {
      case 'event':
        return this.#event(incoming);
      case 'gap':
        return this.#gap(incoming.item, incoming.number);
      case 'presence':
        return this.#presence(incoming.item);
      case 'presenceLost':
        return this.presenceLost(new Rejected(incoming.error));
      case 'volatile': {
        const { type: _, seq: __, ...volatile } = incoming.item;
        this.#listeners.tell('volatile', volatile);
      }
    }
  }

  #event({ item, number, epoch }: Extract<Incoming, { hear: 'event' }>): void {
    if (epoch === undefined) return;
    const position = (this.#heard = { epoch, offset: item.offset });
    const event = { name: undefined, data: undefined, ...item, position, number };
    if (this.#snapshots) this.#snapshots.event(event);
    else this.#tell(event);
  }

  #gap(item: Gap, number: number | undefined): void {
    this.#heard = item.to;
    const gap = { ...item, channel: this.name, number };
    if (this.#snapshots) this.#snapshots.gap(gap);
    else this.#tell(gap);
  }

  #presence({ kind, members, count }: Presence): void {
    const here = new Map(kind === 'state' ? [] : this.members);
    for (const member of members) {
      if (kind === 'leave') here.delete(member.session);
      else here.set(member.session, member);
    }
    this.members = here;
    this.#listeners.tell('presence', { kind, members, count });
  }

  /** It does not take part any more, and may be asked to again. */
  presenceLost(error: Rejected): void {
    this.presence = false;
    this.members = new Map();
    this.#listeners.tell('presence', { kind: 'state', members: [], count: 0, error });
  }

  /** Nothing more comes. */
  finish(end: ChannelEnd): void {
    if (this.end) return;
    this.end = end;
    this.stands = false;
    this.#listeners.over.abort();
    this.#snapshots?.end();
    this.#reject?.(end.error ?? new SessionClosed(end.reason));
    for (const iteration of [...this.#iterations]) iteration.finish(end.error);
    this.#listeners.tell('unsubscribed', end);
    this.judgeFreshness();
  }

  /** Tells how fresh it is, if that has changed. */
  judgeFreshness(): void {
    const { clock, isLive } = this.#host;
    // Without a snapshot there is something to show once it stands.
    const filled = this.#snapshots ?? { hasTold: !!this.#heard, trouble: undefined, error: undefined };
    const now = freshness(this.freshness, !!this.end, this.stands && isLive, filled, clock.wall());
    if (now === this.freshness) return;
    this.freshness = now;
    this.#listeners.tell('freshness', now);
  }

  /** The first who listens hears what came before, in its turn. */
  #catchUp(): void {
    if (!this.#unheard) return;
    queueMicrotask(() => {
      const unheard = this.#unheard ?? [];
      const to = this.#dropped;
      this.#unheard = this.#dropped = undefined;
      if (to && this.#snapshots) {
        this.refresh();
        return;
      }
      if (to) this.#tell({ type: 'gap', channel: this.name, to, exact: false, reason: 'overflow' });
      for (const happening of unheard) this.#tell(happening);
    });
  }

  #tell(happening: Happening): void {
    const place = happening.type === 'gap' ? happening.to : happening.position;
    this.position = place;
    if (this.#unheard) {
      this.#unheard.push(happening);
      if (this.#unheard.length > MOST_WAITING) {
        const dropped = this.#unheard.shift();
        if (dropped) this.#dropped = dropped.type === 'gap' ? dropped.to : dropped.position;
      }
      return;
    }
    const number = (happening as { readonly number?: number }).number;
    for (const iteration of this.#iterations) iteration.push(happening, number);
    this.#listeners.tell<'event' | 'gap' | 'snapshot'>(happening.type, happening);
  }
}
