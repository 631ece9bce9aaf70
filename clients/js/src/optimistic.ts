/**
 * A view of a channel that shows what the user did before the gateway has said yes (`throughline-client/optimistic`).
 */

import type { Channel, ChannelEvent, Reply, SendOptions, Unlisten } from './channel.js';

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

/** Makes a view of a channel. With `snapshot` in its subscription, a snapshot's state replaces what is confirmed. */
export declare function optimistic<State, Events extends object>(
  channel: Channel<Events, State>,
  options: OptimisticOptions<State, Events>,
): View<State>;
