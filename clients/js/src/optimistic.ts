/**
 * A view of a channel that shows what the user did before the gateway has said yes (`throughline-client/optimistic`).
 *
 * What is shown is what the channel has said, and on it what is pending, in the order in which it was sent. A reply names
 * the position of the event that it became: whatever is pending is dropped in the step in which that event is applied.
 *
 * Whether reply or event comes first is not promised. If the reply is first, what is pending stays until the channel has
 * come as far. If the event is first, nothing tells whose it is but its sender; so an event of this session waits, and with
 * it what follows, while a reply is due, which is as good as on its way. An application that publishes in the client's
 * name without `sender` shows such an event twice until the reply is there.
 */

import type { Channel, ChannelEvent, Happening, InnerChannel, InnerSendOptions, Reply, SendOptions, Unlisten } from './channel.js';
import type { Outcome } from './core/output.js';
import { errorOf } from './errors.js';
import { Listeners, shielded } from './listeners.js';
import type { Position } from './protocol.js';
import { reaches } from './snapshot.js';

/** What `optimistic` takes. */
export interface OptimisticOptions<State, Events extends object> {
  /** What is shown before anything is known. */
  readonly initial: State;
  /** What an event of the channel does to the state. Pure: it gives a new state and leaves the old one alone. */
  readonly apply: (state: State, event: ChannelEvent<Events>) => State;
}

/** What `View.send` takes beside what is sent. */
export interface OptimisticSend<State> extends SendOptions {
  /** What is shown until it is known what came of it. Pure, and called again whenever the state below it changes. */
  readonly optimistic: (state: State) => State;
  /** Told when it is withdrawn: refused, of unknown outcome, or the session is closed. */
  readonly rollback?: (error: Error) => void;
}

/** A view of a channel. */
export interface View<State> {
  /** What to show: what is confirmed, and on it what is pending. */
  readonly state: State;
  /** What the channel said. */
  readonly confirmed: State;
  /** How many sends are shown that the channel has not said yet. */
  readonly pending: number;
  on(name: 'change', listener: (state: State) => void, options?: { readonly signal?: AbortSignal }): Unlisten;
  /**
   * Sends, and shows it at once. It is withdrawn when it is rejected or of unknown outcome, and dropped exactly when its
   * own event is applied, so that it is never shown twice.
   *
   * Rejects as `Channel.send` does.
   */
  send(data: unknown, options: OptimisticSend<State>): Promise<Reply>;
  /** Listens no more. The channel is not left. */
  close(): void;
}

/**
 * Makes a view of a channel. With `snapshot` in its subscription, a snapshot's state replaces what is confirmed; without,
 * a gap leaves it as it is.
 */
export function optimistic<State, Events extends object>(
  channel: Channel<Events, State>,
  options: OptimisticOptions<State, Events>,
): View<State> {
  return new OptimisticView(channel, options);
}

/** Something that was sent and that the channel has not said yet. */
interface Pending<State> {
  readonly optimistic: (state: State) => State;
  /** Where its event landed; nothing before the reply. */
  position: Position | undefined;
}

class OptimisticView<State, Events extends object> implements View<State> {
  state: State;
  confirmed: State;

  readonly #channel: Channel<Events, State>;
  readonly #apply: OptimisticOptions<State, Events>['apply'];
  readonly #listeners = new Listeners<{ change: State }>();
  readonly #stop = new AbortController();
  #pending: Pending<State>[] = [];
  /** What has to wait for the reply to an event of our own. */
  #waiting: Happening<Events, State>[] = [];
  #position: Position | undefined;
  /** Epochs that the channel has left: nothing of them comes any more. */
  readonly #past = new Set<string>();
  /** Whether what is to be shown may be another than what is. */
  #isDirty = false;

  constructor(channel: Channel<Events, State>, { initial, apply }: OptimisticOptions<State, Events>) {
    this.#channel = channel;
    this.state = this.confirmed = initial;
    this.#apply = apply;
    if (this.#inner.wasHeard) channel.refresh();
    const { signal } = this.#stop;
    const hear = (happening: Happening<Events, State>): void => {
      // What a snapshot has needs no reply to be told apart.
      if (happening.type === 'snapshot') this.#waiting = [];
      this.#waiting.push(happening);
      this.#goOn();
    };
    for (const name of ['event', 'gap', 'snapshot'] as const) channel.on(name, hear, { signal });
    channel.on('unsubscribed', () => this.#end(), { signal });
  }

  get pending(): number {
    return this.#pending.length;
  }

  on(name: 'change', listener: (state: State) => void, options?: { readonly signal?: AbortSignal }): Unlisten {
    return this.#listeners.on(name, listener, options);
  }

  async send(data: unknown, { optimistic, rollback, ...options }: OptimisticSend<State>): Promise<Reply> {
    options.signal?.throwIfAborted();
    const state = optimistic(this.state);
    const pending: Pending<State> = { optimistic, position: undefined };
    let isHeard = false;
    const withdraw = (error: Error): void => {
      this.#drop(pending);
      this.#goOn();
      if (rollback) shielded(() => rollback(error));
    };
    const heard = (outcome: Outcome): void => {
      isHeard = true;
      if (outcome.kind !== 'accepted') {
        withdraw(errorOf(outcome, 'closed'));
        return;
      }
      const { position } = outcome.reply;
      pending.position = position;
      // Without a position its event cannot be told from others.
      if (!position || this.#isPast(position)) this.#drop(pending);
      this.#goOn();
    };
    this.#pending.push(pending);
    const sent = this.#channel.send(data, { ...options, heard } as InnerSendOptions);
    this.#show(state);
    sent.catch((error: unknown) => {
      // It was never sent.
      if (!isHeard && !options.signal?.aborted) withdraw(error as Error);
    });
    return sent;
  }

  close(): void {
    this.#stop.abort();
  }

  /** Applies what may be applied by now. */
  #goOn(): void {
    let next = this.#waiting[0];
    while (next && !this.#hasToWait(next)) {
      this.#take(next);
      this.#waiting.shift();
      next = this.#waiting[0];
    }
    if (!this.#isDirty) return;
    let state = this.confirmed;
    for (const { optimistic } of this.#pending) shielded(() => (state = optimistic(state)));
    this.#show(state);
  }

  #hasToWait(happening: Happening<Events, State>): boolean {
    if (happening.type !== 'event') return false;
    const { sender, position } = happening as ChannelEvent;
    return (
      sender?.session === this.#inner.me &&
      !this.#pending.some((pending) => isSame(pending.position, position)) &&
      this.#pending.some((pending) => !pending.position)
    );
  }

  #take(happening: Happening<Events, State>): void {
    const before = this.confirmed;
    if (happening.type === 'snapshot') {
      this.confirmed = happening.state;
      this.#moveTo(happening.position);
    } else if (happening.type === 'event') {
      shielded(() => (this.confirmed = this.#apply(this.confirmed, happening)));
      this.#moveTo((happening as ChannelEvent).position);
    } else if (!this.#inner.hasSnapshot) this.#moveTo(happening.to);
    this.#isDirty ||= this.confirmed !== before;
  }

  #moveTo(position: Position): void {
    if (this.#position && this.#position.epoch !== position.epoch) this.#past.add(this.#position.epoch);
    this.#past.delete(position.epoch);
    this.#position = position;
    this.#keep((pending) => !pending.position || !this.#isPast(pending.position));
  }

  /** Whether the channel has said what is there, or will not say it any more. */
  #isPast(position: Position): boolean {
    return reaches(this.#position, position) || this.#past.has(position.epoch);
  }

  #drop(pending: Pending<State>): void {
    this.#keep((other) => other !== pending);
  }

  #keep(isKept: (pending: Pending<State>) => boolean): void {
    const kept = this.#pending.filter(isKept);
    this.#isDirty ||= kept.length < this.#pending.length;
    this.#pending = kept;
  }

  /** The channel says nothing more: what it has accepted cannot be waited for. */
  #end(): void {
    this.#keep(({ position }) => !position);
    this.#goOn();
  }

  #show(state: State): void {
    this.#isDirty = false;
    if (state === this.state) return;
    this.state = state;
    this.#listeners.tell('change', state);
  }

  get #inner(): InnerChannel {
    return this.#channel as unknown as InnerChannel;
  }
}

function isSame(one: Position | undefined, other: Position): boolean {
  return one?.epoch === other.epoch && one.offset === other.offset;
}
