// A channel as a React component sees it: what to show, how fresh that is, and a way to send that shows at once.
//
//   const { state, freshness, send } = useChannel(session, `room:${id}`, messages);
//   if (freshness.name === 'loading') return <Skeleton />;
//
// `definition` says what the channel means; it is made once, outside of components.

import { useCallback, useEffect, useSyncExternalStore } from 'react';

import type { Channel, ChannelEvent, Freshness, Reply, Session, SubscribeOptions } from 'throughline-client';
import { optimistic, type OptimisticSend, type View } from 'throughline-client/optimistic';

export interface Definition<State, Events extends object> extends Omit<SubscribeOptions<State>, 'signal'> {
  readonly initial: State;
  readonly apply: (state: State, event: ChannelEvent<Events>) => State;
}

export interface Shown<State> {
  readonly state: State;
  readonly freshness: Freshness;
  readonly send: (data: unknown, options: OptimisticSend<State>) => Promise<Reply>;
}

interface Shared<State, Events extends object> {
  readonly room: Channel<Events, State>;
  readonly view: View<State>;
}

/** Components that use the same channel share its view. A channel that has ended is another one when it is used again. */
const shared = new WeakMap<Session, Map<string, unknown>>();

function share<State, Events extends object>(session: Session, name: string, definition: Definition<State, Events>): Shared<State, Events> {
  const all = shared.get(session) ?? new Map<string, unknown>();
  shared.set(session, all);
  const known = all.get(name) as Shared<State, Events> | undefined;
  if (known && !known.room.end) return known;
  // Ahead of need: until the effect below has subscribed, and for a while after the last component is gone.
  const room = session.prefetch<Events, State>(name, definition);
  const made = { room, view: optimistic(room, definition) };
  all.set(name, made);
  return made;
}

export function useChannel<State, Events extends object>(session: Session, name: string, definition: Definition<State, Events>): Shown<State> {
  const { room, view } = share(session, name, definition);

  useEffect(() => {
    // The view has the snapshot already: it is not asked for again.
    const held = session.subscribe(name);
    return () => void held.leave();
  }, [session, name, room]);

  const onState = useCallback((changed: () => void) => view.on('change', changed), [view]);
  const onFreshness = useCallback((changed: () => void) => room.on('freshness', changed), [room]);
  const state = useSyncExternalStore(onState, () => view.state, () => view.state);
  const freshness = useSyncExternalStore(onFreshness, () => room.freshness, () => room.freshness);
  const send = useCallback<Shown<State>['send']>((data, options) => view.send(data, options), [view]);
  return { state, freshness, send };
}
