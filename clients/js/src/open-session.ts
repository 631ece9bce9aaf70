/**
 * What is behind a `Session`: it knows the channels, says which item is whose, and turns outcomes into promises.
 *
 * Items name their channel, and a channel may be left and subscribed again while items of the one before are still on
 * their way. So a `Subscription` hears nothing before its own `subscribed`, which is the one that answers its command; and
 * a name that is being left is not taken for one that the server has subscribed.
 */

import type { Keeper } from './browser/reload.js';
import type { Channel, Happening, InnerSendOptions, Reply, SubscribeOptions, Unlisten } from './channel.js';
import type { Clock, Random } from './clock.js';
import { bytesOf } from './codec/text.js';
import type { CoreLike } from './core/core.js';
import type { CoreState, Incoming, Outcome, Saved, Verdict } from './core/output.js';
import { Credentials } from './credentials.js';
import { driver, type Audience, type Driver, type Surroundings } from './driver.js';
import { errorOf, Rejected, SessionClosed } from './errors.js';
import { explain, type Explanation } from './explain.js';
import type { Iteration } from './iteration.js';
import { Listeners } from './listeners.js';
import type { ConnectOptions } from './options.js';
import { unlessAborted } from './patience.js';
import { payloadOf, said, sendOf, subscribeOf } from './payload.js';
import type { Command, Subscribed, TransportName } from './protocol.js';
import type { Restored, Session, SessionEvents, SessionState } from './session.js';
import { OVERLAP } from './snapshot.js';
import { Subscription, type Host } from './subscription.js';
import type { Transport } from './transports/transport.js';

/** What the core calls it when it waits for credentials. */
const UNAUTHORIZED = 'unauthorized';

/** How large what is said and not kept may be (docs/protocol.md, Volatiles). */
const VOLATILE_BYTES = 4_096;

/** How long what was subscribed ahead of need is kept. */
const PREFETCH_MS = 30_000;

export interface OpenSessionOptions {
  readonly surroundings: Surroundings;
  readonly transports: readonly Transport[];
  readonly random: Random;
  readonly auth: ConnectOptions['auth'];
  readonly kept: Pick<Keeper, 'status' | 'keep' | 'end'>;
  remember(verdict: Verdict | undefined): void;
  /** It is over. */
  ended(): void;
}

export class OpenSession implements Session, Host, Audience {
  readonly restored: Promise<readonly Restored[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly driver: Driver;
  state: SessionState = { name: 'connecting', attempt: 1 };
  isResumed = false;

  readonly #options: OpenSessionOptions;
  readonly #credentials: Credentials | undefined;
  readonly #listeners = new Listeners<SessionEvents>();
  readonly #channels = new Map<string, Subscription>();
  /** Channels that are being left, and how often. */
  readonly #leaving = new Map<string, number>();
  readonly #held = new Set<Iteration<Happening>>();
  readonly #closed: Promise<void>;
  #core: CoreLike | undefined;
  #restore: (restored: readonly Restored[]) => void = () => {};
  #close: () => void = () => {};
  #hasSaved = false;
  #wasUp = false;
  /** The application wants to hear nothing more. */
  #isClosing = false;
  #heldBack = Infinity;
  /** When the next attempt is, by both clocks. */
  #retry = { atMs: -Infinity, wallMs: 0 };

  constructor(options: OpenSessionOptions) {
    const { surroundings, transports, random, auth } = options;
    const { clock } = surroundings;
    this.clock = clock;
    this.random = random;
    this.#options = options;
    this.driver = driver(surroundings, transports, this);
    this.#closed = new Promise((resolve) => (this.#close = resolve));
    this.restored = new Promise((resolve) => (this.#restore = resolve));
    this.#credentials =
      auth &&
      new Credentials({
        auth,
        clock,
        random,
        give: (token) => void this.driver.change('authenticate', token),
        changed: () => this.#core && this.settled(this.#core),
      });
  }

  /** Begins, once it is known what the page before has left. */
  start(core: CoreLike, saved: Saved | undefined): void {
    this.#core = core;
    this.#hasSaved = !!saved;
    this.#restore(this.#takeUp(saved));
    this.driver.start(core);
    this.#credentials?.ask('start');
  }

  // What the application asks for.

  get id(): string | undefined {
    return this.#core?.session;
  }

  get user(): string | undefined {
    return this.#core?.user;
  }

  get isLive(): boolean {
    return this.state.name === 'live';
  }

  on<Name extends keyof SessionEvents>(
    name: Name,
    listener: (what: SessionEvents[Name]) => void,
    options?: { readonly signal?: AbortSignal },
  ): Unlisten {
    return this.#listeners.on(name, listener, options);
  }

  ready({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    let off: Unlisten = () => {};
    const ready = new Promise<void>((resolve, reject) => {
      const look = (state: SessionState): void => {
        if (state.name === 'live') resolve();
        else if (state.name === 'closed') reject(new SessionClosed(state.reason));
      };
      off = this.on('state', look);
      look(this.state);
    });
    return unlessAborted(ready, signal).finally(() => off());
  }

  subscribe<Events extends object, State>(channel: string, options: SubscribeOptions<State> = {}): Channel<Events, State> {
    const { snapshot, presence = false } = options;
    const command = subscribeOf(channel, options.from ?? (snapshot ? { last: OVERLAP } : 'now'), options);
    let held = this.#channels.get(channel);
    const isNew = !held;
    held ??= new Subscription(channel, this);
    if (isNew) this.#channels.set(channel, held);
    if (isNew || (presence && !held.presence)) {
      held.presence = presence;
      this.#subscribe(held, command);
    }
    held.join(options);
    return held as unknown as Channel<Events, State>;
  }

  prefetch<Events extends object, State>(
    channel: string,
    { forMs = PREFETCH_MS, signal, ...options }: SubscribeOptions<State> & { readonly forMs?: number } = {},
  ): Channel<Events, State> {
    // Its time, its signal and its end may all come, and it is left once.
    const over = new AbortController();
    const leave = (): void => over.abort();
    const held = this.subscribe<Events, State>(channel, { ...options, signal: over.signal });
    over.signal.addEventListener('abort', this.clock.after(forMs, leave));
    held.on('unsubscribed', leave);
    signal?.addEventListener('abort', leave, over);
    if (signal?.aborted || held.end) queueMicrotask(leave);
    return held;
  }

  async send(channel: string, data?: unknown, options: InnerSendOptions = {}): Promise<Reply> {
    const { signal, heard } = options;
    const command = sendOf(channel, data, options);
    signal?.throwIfAborted();
    const replied = new Promise<Reply>((resolve, reject) => {
      this.driver.request(command, (outcome) => {
        heard?.(outcome);
        this.#answer(outcome, resolve, reject);
      });
    });
    return unlessAborted(replied, signal);
  }

  sendVolatile(channel: string, data?: unknown, { name }: { readonly name?: string } = {}): boolean {
    const payload = payloadOf(data);
    const bytes = payload.bytes ?? bytesOf(JSON.stringify(payload.data));
    const named = said('volatile', { channel, name });
    // What the gateway would drop is not said.
    if (!this.isLive || !this.#standingChannel(channel) || bytes.length > VOLATILE_BYTES) return false;
    return !!this.driver.change('volatile', { ...named, ...payload });
  }

  migrate(transport: TransportName, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const moved = new Promise<void>((resolve, reject) => {
      const settle = (outcome: Outcome): void => {
        if (outcome.kind === 'migrated') resolve();
        else reject(errorOf(outcome, this.#reason));
      };
      if (this.state.name === 'closed') settle({ kind: 'closed' });
      else this.driver.change('migrate', transport, this.driver.ticket(settle));
    });
    return unlessAborted(moved, signal);
  }

  explain(): Explanation {
    const { transports, kept } = this.#options;
    return explain(this.#core, this.state, this.clock, transports, this.driver.codec, kept.status);
  }

  networkChanged(): void {
    this.driver.change('handleNetworkChanged');
  }

  cut(): void {
    this.driver.cut();
  }

  close(): Promise<void> {
    this.#isClosing = true;
    // Who closes it may open the next one of its name at once.
    this.#options.kept.end();
    this.driver.change('close');
    return this.#closed;
  }

  // What its subscriptions ask for.

  async leave(subscription: Subscription): Promise<void> {
    const { name: channel } = subscription;
    this.#channels.delete(channel);
    this.#leaving.set(channel, (this.#leaving.get(channel) ?? 0) + 1);
    const answered = new Promise((resolve) => this.driver.request({ type: 'unsubscribe', channel }, resolve));
    // Who hears of it may subscribe again, which has to be asked for behind it.
    subscription.finish({ reason: 'requested' });
    // Whatever comes of it, it is left: and what is still to be heard in this turn is not of the next one.
    await answered;
    const left = (this.#leaving.get(channel) ?? 1) - 1;
    if (left) this.#leaving.set(channel, left);
    else this.#leaving.delete(channel);
  }

  held(iteration: Iteration<Happening>): void {
    if (iteration.isDone) this.#held.delete(iteration);
    else this.#held.add(iteration);
    const held = Math.min(...[...this.#held].map(({ oldest }) => oldest));
    if (held !== this.#heldBack) this.#holdBack(held);
  }

  // What its driver tells.

  keep(saved: Saved | undefined): void {
    this.#options.kept.keep(saved);
  }

  remember(verdict: Verdict | undefined): void {
    this.#options.remember(verdict);
  }

  settled(core: CoreLike): void {
    const { state } = core;
    if (state.name === 'waiting' && state.reason === UNAUTHORIZED) this.#credentials?.ask(UNAUTHORIZED);
    const standing = this.#standing(state);
    if (JSON.stringify(this.state) === JSON.stringify(standing)) return;
    this.state = standing;
    this.#listeners.tell('state', standing);
  }

  hear(incoming: Incoming): void {
    if (this.#isClosing) return;
    switch (incoming.hear) {
      case 'up':
        if (!this.#wasUp) this.isResumed = this.#hasSaved && incoming.isResumed;
        this.#wasUp = true;
        return this.#listeners.tell(incoming.isResumed ? 'resumed' : 'opened', { session: incoming.session });
      case 'lost':
        this.isResumed = false;
        this.#holdBack(Infinity);
        for (const iteration of this.#held) iteration.disown();
        for (const channel of this.#channels.values()) channel.stands = false;
        return this.#listeners.tell('lost', { reason: incoming.reason, isFinal: incoming.isFinal });
      case 'subscribed':
        return this.#begin(incoming.item);
      case 'unsubscribed': {
        const { item, error } = incoming;
        // What was asked for is the end of one that was left.
        if (item.command === undefined) this.#end(item.channel, item.reason, error && new Rejected(error));
        return;
      }
      case 'presenceLost': {
        // Also while it is asked for anew; but not one that was never held.
        const held = this.#channels.get(incoming.item.channel);
        if (held?.position) held.hear(incoming);
        return;
      }
      default:
        this.#standingChannel(incoming.item.channel ?? '')?.hear(incoming);
    }
  }

  turned(core: CoreLike): void {
    if (this.isLive) this.#credentials?.taken(core.authExpiresAtMs);
    if (this.state.name === 'closed') {
      for (const name of [...this.#channels.keys()]) this.#end(name, this.state.reason);
      this.#credentials?.end();
    }
    for (const channel of this.#channels.values()) channel.judgeFreshness();
    if (!core.isClosed) return;
    this.#close();
    this.#options.ended();
  }

  #standing(state: CoreState): SessionState {
    if (state.name !== 'waiting') return state;
    const { retryAtMs, ...waiting } = state;
    if (retryAtMs === undefined) return state.reason === UNAUTHORIZED ? { ...waiting, ...this.#credentials?.status } : waiting;
    // Two clocks: they are compared once for each wait, or its end would move.
    if (this.#retry.atMs !== retryAtMs) this.#retry = { atMs: retryAtMs, wallMs: Math.round(this.clock.wall() + retryAtMs - this.clock.now()) };
    return { ...waiting, retryAt: this.#retry.wallMs };
  }

  #subscribe(subscription: Subscription, command: Command): void {
    // Nothing is asked for any more: a channel that is subscribed again whenever it ends would be so for ever.
    if (this.#isClosing) return this.#end(subscription.name, this.#reason);
    this.driver.request(command, (outcome) => {
      // The first that is granted is where it begins; those behind it ask for presence in what is held.
      if (outcome.kind === 'subscribed') subscription.command ??= outcome.subscribed.command;
      else if (this.#channels.get(subscription.name) === subscription) {
        const error = outcome.kind === 'rejected' ? new Rejected(outcome.error) : undefined;
        // One whose presence alone was refused goes on without.
        if (subscription.command === undefined && !subscription.position) this.#end(subscription.name, error ? 'refused' : this.#reason, error);
        else if (error) subscription.presenceLost(error);
      }
    });
  }

  #begin(item: Subscribed): void {
    const { channel, command } = item;
    const held = this.#channels.get(channel);
    const isNew = held?.position === undefined;
    if (held && (!isNew || (command !== undefined && command === held.command))) return held.begin(item);
    // Not one that is on its way out, nor the answer to somebody who has left.
    if (command !== undefined || this.#leaving.has(channel)) return;
    const made = held ?? new Subscription(channel, this);
    this.#channels.set(channel, made);
    made.begin(item);
    this.#listeners.tell('subscribed', { channel: made, subscribed: item });
  }

  #holdBack(number: number): void {
    this.#heldBack = number;
    this.driver.change('holdBack', number);
  }

  #standingChannel(name: string): Subscription | undefined {
    const held = this.#channels.get(name);
    return held?.stands ? held : undefined;
  }

  #end(name: string, reason: string, error?: Rejected): void {
    const held = this.#channels.get(name);
    this.#channels.delete(name);
    held?.finish({ reason, ...(error && { error }) });
  }

  #takeUp(saved: Saved | undefined): readonly Restored[] {
    if (!saved) return [];
    const { low, commands, unkept } = saved;
    return commands.flatMap((command, index) => {
      const number = low + index;
      if (command.type !== 'send' && !unkept.includes(number)) return [];
      const outcome = new Promise<Reply>((resolve, reject) => {
        this.driver.await(-number, (settled) => this.#answer(settled, resolve, reject));
      });
      outcome.catch(() => {});
      return { command, outcome };
    });
  }

  #answer(outcome: Outcome, resolve: (reply: Reply) => void, reject: (error: Error) => void): void {
    if (outcome.kind === 'accepted') {
      const { data, bytes, position } = outcome.reply;
      resolve({ ...(data !== undefined && { data }), ...(bytes && { bytes }), ...(position && { position }) });
    } else reject(errorOf(outcome, this.#reason));
  }

  get #reason(): string {
    return this.state.name === 'closed' ? this.state.reason : 'closed';
  }
}
