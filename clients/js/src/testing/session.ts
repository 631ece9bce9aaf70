/**
 * One session of a gateway in memory: items down, commands up, both numbered (docs/protocol.md). It does what a client
 * can see, and leaves out what only a gateway has to care for: tokens are not signed, nothing is provisional, and a
 * session without a link is kept until it is told to go, though after a while nobody sees it any more.
 */

import type { Command, DownFrame, Hello, Item, Position, Presence, Resume, UpFrame } from '../protocol.js';
import type { FakeChannel } from './channel.js';
import type { FakeLink } from './link.js';

/** How many events may be unacknowledged. */
export const WINDOW = 1_024;

/** P5: how long a session without a link still takes part. */
const GRACE_MS = 30_000;

/** What a session needs of its gateway. */
export interface Broker {
  channel(name: string): FakeChannel;
  /** As `Clock.after`. */
  after(ms: number, then: () => void): () => void;
  /** Carries a `send` out; the reply is told when there is one. */
  handle(session: FakeSession, send: Extract<Command, { type: 'send' }>, reply: (item: Omit<Extract<Item, { type: 'reply' }>, 'type' | 'command'>) => void): void;
  /** Whether nobody may subscribe to a channel. */
  isForbidden(channel: string): boolean;
  /** Whether nobody more may take part in the presence of a channel. */
  isFull(channel: string): boolean;
  /** Somebody joined or left. */
  tellPresence(change: Presence, except: FakeSession): void;
}

export class FakeSession {
  readonly id: string;
  readonly token: string;
  readonly user: string | undefined;
  instance: string;
  incarnation = 1;
  /** L1: the highest attach number. */
  attach = 0;
  /** The last command taken. */
  received = 0;
  /** The link that items flow on. */
  active: FakeLink | undefined;

  readonly #broker: Broker;
  readonly #cursors = new Map<string, Position>();
  /** Items that are not acknowledged; the first has the number `#acked + 1`. */
  #items: Item[] = [];
  #acked = 0;
  /** Commands that ran ahead of their turn. */
  readonly #ahead = new Map<number, Command>();
  readonly #results = new Map<number, Item>();
  /** Channels that it takes part in again when it is back. */
  readonly #absent = new Set<string>();
  #takeBack: () => void = () => {};
  #isOver = false;

  constructor(id: string, user: string | undefined, instance: string, broker: Broker) {
    this.id = id;
    this.token = `token of ${id}`;
    this.user = user;
    this.instance = instance;
    this.#broker = broker;
  }

  /** The last item that was numbered. */
  get numbered(): number {
    return this.#acked + this.#items.length;
  }

  get channels(): readonly string[] {
    return [...this.#cursors.keys()];
  }

  holds(channel: string): boolean {
    return this.#cursors.has(channel);
  }

  /** Whether these numbers are its own, and still held (N3). */
  knows({ incarnation, after }: Pick<Resume, 'incarnation' | 'after'>, instance: string): boolean {
    return instance === this.instance && incarnation === this.incarnation && after <= this.numbered && after >= this.#acked;
  }

  /** N3: goes on from what the client states. */
  rebuild({ instance }: Hello, { after, low, positions = {} }: Resume): void {
    this.instance = instance;
    this.incarnation += 1;
    this.received = low - 1;
    this.#acked = after;
    this.#items = [];
    this.#ahead.clear();
    for (const channel of this.channels) if (!(channel in positions)) this.#leave(channel);
    this.takeUp(positions);
  }

  /** Subscribes to each channel from its position. */
  takeUp(positions: Readonly<Record<string, Position>>): void {
    for (const [channel, position] of Object.entries(positions)) {
      this.#cursors.set(channel, position);
      this.#items.push({ type: 'subscribed', channel, position, recovered: this.#isHeld(channel, position) });
      if (this.#broker.channel(channel).members.has(this.id)) this.#items.push(this.#roster(channel));
    }
  }

  /** The client has all items up to this one. */
  acknowledge(upTo: number): void {
    const count = Math.max(0, Math.min(upTo, this.numbered) - this.#acked);
    this.#items.splice(0, count);
    this.#acked += count;
  }

  /** Takes commands in their order (C1). */
  take(first: number, commands: readonly Command[]): void {
    commands.forEach((command, index) => {
      const number = first + index;
      if (number > this.received) this.#ahead.set(number, command);
    });
    for (let next = this.#ahead.get(this.received + 1); next; next = this.#ahead.get(this.received + 1)) {
      this.received += 1;
      this.#ahead.delete(this.received);
      this.#carryOut(this.received, next);
    }
  }

  /** Another item, in the order in which it happened. */
  push(item: Item): void {
    this.#number();
    this.#items.push(item);
  }

  /** Numbers what its channels have, as far as the window goes, and says what its link has not said. */
  flush(head: readonly DownFrame[] = [], hasCommands = false): void {
    const { active } = this;
    if (!active || (active.isPolling && active.polls === undefined)) return;
    this.#number();
    const frames: DownFrame[] = [...head];
    const items = this.#items.slice(Math.max(0, active.sent - this.#acked));
    const ack = hasCommands ? { ack: this.received } : {};
    if (items.length) frames.push({ type: 'items', first: active.sent + 1, items, ...ack });
    else if (hasCommands) frames.push({ type: 'ack', upTo: this.received });
    active.sent = this.numbered;
    if (frames.length) active.say(frames);
  }

  /** Takes the newest link for the one that items flow on; it has everything up to `after`. */
  activate(link: FakeLink, attach: number, after: number): void {
    const before = this.active;
    this.attach = attach;
    this.active = link;
    this.#takeBack();
    link.sent = Math.max(after, this.#acked);
    this.acknowledge(after);
    for (const channel of this.#absent) this.#join(channel);
    this.#absent.clear();
    if (!before || before === link) return;
    // L7.
    before.say([{ type: 'retry', delayMs: 0, spreadMs: 0, reason: 'superseded' }]);
    if (!before.isPolling) before.end({ kind: 'closed', code: 4300 });
  }

  /** Its link is gone. P5: it still takes part, for a while. */
  detach(): void {
    this.active = undefined;
    this.#takeBack();
    if (this.#isOver) return;
    this.#takeBack = this.#broker.after(GRACE_MS, () => {
      for (const channel of this.channels) {
        if (!this.#broker.channel(channel).members.has(this.id)) continue;
        this.#quit(channel);
        this.#absent.add(channel);
      }
    });
  }

  /** The server ends a subscription. */
  revoke(channel: string): void {
    if (!this.holds(channel)) return;
    this.push({ type: 'unsubscribed', channel, reason: 'revoked' });
    this.#leave(channel);
  }

  /** It is over: nobody counts it any more. */
  end(): void {
    this.#isOver = true;
    this.#takeBack();
    for (const channel of this.channels) this.#leave(channel);
  }

  welcome(resumed: boolean, reason: string | undefined, time: number): DownFrame {
    const known = resumed ? {} : { limits: LIMITS, transports: [], features: [] };
    return {
      type: 'welcome',
      session: this.id,
      token: this.token,
      incarnation: this.incarnation,
      link: this.active?.name ?? 0,
      resumed,
      next: this.#acked + 1,
      received: this.received,
      time,
      heartbeatMs: 15_000,
      resumeWindowMs: 120_000,
      windowMs: 0,
      backoff: { baseMs: 250, capMs: 30_000 },
      ...(this.user !== undefined && { user: this.user }),
      ...(reason !== undefined && { reason }),
      ...known,
    };
  }

  #carryOut(command: number, wanted: Command): void {
    const known = this.#results.get(command);
    if (known && wanted.type === 'send') {
      // C3: it was carried out before the session was rebuilt.
      this.push(known);
      return;
    }
    switch (wanted.type) {
      case 'subscribe': {
        const { channel, from = 'now', presence = false } = wanted;
        if (channel.startsWith('$')) {
          this.push({ type: 'reply', command, ok: false, error: RESERVED });
          return;
        }
        if (this.#broker.isForbidden(channel)) {
          this.push({ type: 'reply', command, ok: false, error: { code: 'forbidden', message: `${channel} is not for everybody`, retryable: false } });
          return;
        }
        const log = this.#broker.channel(channel);
        if (presence && !log.members.has(this.id) && this.#broker.isFull(channel)) {
          this.push({ type: 'reply', command, ok: false, error: { code: 'too_many_members', message: `${channel} is full`, retryable: true } });
          return;
        }
        // What came before comes before it.
        this.#number();
        const asked = from === 'now' ? log.position : 'last' in from ? log.last(from.last) : from.position;
        const position = this.#cursors.get(channel) ?? asked;
        this.push({ type: 'subscribed', channel, command, position, recovered: this.#isHeld(channel, position) });
        this.#cursors.set(channel, position);
        if (presence) this.#join(channel);
        else this.#quit(channel);
        return;
      }
      case 'unsubscribe': {
        const { channel } = wanted;
        if (this.holds(channel)) {
          this.push({ type: 'unsubscribed', channel, command, reason: 'requested' });
          this.#leave(channel);
        } else {
          this.push({ type: 'reply', command, ok: false, error: { code: 'not_subscribed', message: `${channel} is not held`, retryable: false } });
        }
        return;
      }
      case 'send':
        if (wanted.channel.startsWith('$')) {
          this.push({ type: 'reply', command, ok: false, error: RESERVED });
          return;
        }
        this.#broker.handle(this, wanted, (result) => {
          const reply: Item = { type: 'reply', command, ...result };
          this.#results.set(command, reply);
          this.push(reply);
          this.flush();
        });
        return;
      case 'noop':
    }
  }

  #number(): void {
    for (const [channel, cursor] of this.#cursors) {
      const log = this.#broker.channel(channel);
      let place = cursor;
      for (;;) {
        const events = this.#items.filter(({ type }) => type === 'event').length;
        const next = events < WINDOW ? log.after(place) : undefined;
        if (!next) break;
        if ('to' in next) {
          const { to, reason } = next;
          this.#items.push({ type: 'gap', channel, from: place, to, exact: reason !== 'epoch', reason });
          place = to;
        } else {
          this.#items.push(next);
          place = { epoch: place.epoch, offset: next.offset };
        }
      }
      this.#cursors.set(channel, place);
    }
  }

  #isHeld(channel: string, position: Position): boolean {
    const next = this.#broker.channel(channel).after(position);
    return !next || !('to' in next);
  }

  #leave(channel: string): void {
    this.#quit(channel);
    this.#cursors.delete(channel);
  }

  #join(channel: string): void {
    const { members } = this.#broker.channel(channel);
    const member = { session: this.id, ...(this.user !== undefined && { user: this.user }) };
    const isNew = !members.has(this.id);
    members.set(this.id, member);
    this.push(this.#roster(channel));
    if (isNew) this.#broker.tellPresence({ type: 'presence', channel, kind: 'join', members: [member], count: members.size }, this);
  }

  #quit(channel: string): void {
    this.#absent.delete(channel);
    const { members } = this.#broker.channel(channel);
    const member = members.get(this.id);
    if (!member) return;
    members.delete(this.id);
    this.#broker.tellPresence({ type: 'presence', channel, kind: 'leave', members: [member], count: members.size }, this);
  }

  #roster(channel: string): Presence {
    const { members } = this.#broker.channel(channel);
    return { type: 'presence', channel, kind: 'state', members: [...members.values()], count: members.size };
  }
}

const RESERVED = { code: 'reserved_channel', message: "channels that begin with $ are the gateway's own", retryable: false };

const LIMITS = {
  messageBytes: 65_536,
  commandsAhead: 64,
  unacknowledgedItems: WINDOW,
  unacknowledgedBytes: 262_144,
  subscriptions: 256,
  commandsPerSecond: 0,
};

/** Whether a message holds this frame, and which. */
export function frameOf<Type extends UpFrame['type']>(message: readonly UpFrame[], type: Type): Extract<UpFrame, { type: Type }> | undefined {
  return message.find((frame): frame is Extract<UpFrame, { type: Type }> => frame.type === type);
}
