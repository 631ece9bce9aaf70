/**
 * The life of a page, as far as a session has to know of it: hidden and seen, offline and online, put into the page cache
 * and taken out of it, asleep and awake.
 *
 * `Environment` is what tests hand in. `platform` is the real one: a window; a worker, which has only `online` and
 * `offline`; Node, which has nothing. `attend` says what each means to a session.
 *
 * A hidden page matters where six connections serve a whole origin: with HTTP/1.1. Which protocol the gateway is called by,
 * the browser says of each answer (`PerformanceResourceTiming.nextHopProtocol`); from another origin it says so only where
 * the gateway allows it (`timing-allow-origin`). Until it is known, `http:` counts as HTTP/1.1 and `https:` does not.
 *
 * Sleep is not told by anybody. A timer that comes much too late, by the wall clock, is a machine that woke: monotonic
 * clocks stand still meanwhile on some platforms. Timers of hidden pages come once a minute, which is no sleep.
 *
 * In Chromium a page that goes into the cache is told `pagehide` (persisted), `visibilitychange`, `freeze`, and when it
 * comes back `resume`, `visibilitychange`, `pageshow` (persisted); its sockets and streams do not keep it out.
 */

import type { Clock } from '../clock.js';
import type { Driver } from '../driver.js';
import type { Keeper } from './reload.js';

/** What happens to a page. What is so already when somebody begins to watch is told at once. */
export interface Environment {
  /** Tells until it is stopped, by what it returns. `base` is where the gateway is mounted. */
  watch(base: URL, told: Told): () => void;
}

export interface Told {
  /** The page is hidden where its connections are few, and so has to do without one that is held; or it is not any more. */
  hidden(isHidden: boolean): void;
  offline(): void;
  /** It is online, or the machine woke, or the way into the network is another one. */
  networkChanged(): void;
  /** The page stands still from now on, in the page cache or in a hidden tab. */
  frozen(): void;
  /** The page goes away, for good or into the page cache: nobody can say which. */
  left(): void;
  /** It is back from the page cache, and online or not. */
  cameBack(isOnline: boolean): void;
}

/** Does for a session what its page's life demands, until it is stopped. */
export function attend(
  environment: Environment,
  base: URL,
  keeper: Pick<Keeper, 'leave' | 'comeBack'>,
  { change, wake }: Pick<Driver, 'change' | 'wake'>,
): () => void {
  const networkChanged = (): void => change('handleNetworkChanged');
  return environment.watch(base, {
    networkChanged,
    hidden: (isHidden) => change('handleHidden', isHidden),
    offline: () => change('handleOffline'),
    frozen: () => change('handleFrozen'),
    // Nothing is said: a reload keeps the session. What waits goes out with the turn that ends this task.
    left: () => {
      keeper.leave();
      wake();
    },
    cameBack: (isOnline) =>
      void keeper.comeBack().then((isOwn) => {
        if (!isOwn) change('handleDisowned');
        // Where it is not online, it stays frozen until it is.
        if (isOnline) networkChanged();
      }),
  });
}

/** How often it is looked whether the machine slept. */
const LOOK_MS = 10_000;

/** How late the look of a page that is seen may be, and that of one that is not: its timers may come once a minute. */
const LATE_SEEN_MS = 5_000;
const LATE_HIDDEN_MS = 75_000;

/** Of a platform's globals, what is looked at. */
export interface Platform extends Partial<Pick<EventTarget, 'addEventListener'>> {
  readonly document?: EventTarget & { readonly hidden: boolean };
  readonly navigator?: { readonly onLine?: boolean; readonly connection?: EventTarget & { readonly type?: string } };
  readonly PerformanceObserver?: typeof PerformanceObserver;
}

/** The environment that a platform is. */
export function platform(clock: Clock, globals: Platform = globalThis): Environment {
  const { document, navigator, PerformanceObserver } = globals;
  return {
    watch(base, told) {
      if (!globals.addEventListener) return () => {};
      const stop = new AbortController();
      const on = (target: Partial<EventTarget> | undefined, name: string, listener: (event: PageTransitionEvent) => void): void => {
        target?.addEventListener?.(name, listener as (event: Event) => void, { signal: stop.signal });
      };

      // Only `false` says anything; workers and pages have it. Without a network a machine reaches itself all the same.
      const isOnline = (): boolean => navigator?.onLine !== false || LOOPBACK.test(base.hostname);
      const networkChanged = (): void => (isOnline() ? told.networkChanged() : told.offline());

      // Hidden, and its connections few.
      let isFew = base.protocol === 'http:';
      let wasHidden = false;
      const tellHidden = (): void => {
        const isHidden = isFew && !!document?.hidden;
        if (isHidden !== wasHidden) told.hidden(isHidden);
        wasHidden = isHidden;
      };
      if (document && PerformanceObserver) {
        const observer = new PerformanceObserver((list) => {
          for (const { name, nextHopProtocol } of list.getEntries() as PerformanceResourceTiming[]) {
            if (nextHopProtocol && name.startsWith(`${base.href}v1/`)) isFew = nextHopProtocol.startsWith('http/1');
          }
          tellHidden();
        });
        observer.observe({ type: 'resource', buffered: true });
        stop.signal.addEventListener('abort', () => observer.disconnect());
      }

      // In the page cache, or on the way there.
      let isAway = false;
      on(globals, 'pagehide', ({ persisted }) => {
        isAway = true;
        told.left();
        if (persisted) told.frozen();
      });
      on(globals, 'pageshow', ({ persisted }) => {
        if (!persisted) return;
        isAway = false;
        watchSleep();
        told.cameBack(isOnline());
      });
      // A page in the cache is frozen too; it is back when it is shown.
      on(document, 'freeze', () => !isAway && told.frozen());
      on(document, 'resume', () => !isAway && networkChanged());

      // Asleep.
      let lookedMs = 0;
      let wasUnseen = true;
      let cancel = (): void => {};
      const watchSleep = (): void => {
        lookedMs = clock.wall();
        wasUnseen = document?.hidden ?? true;
        cancel();
        cancel = clock.after(LOOK_MS, look);
      };
      const look = (): void => {
        const isLate = clock.wall() - lookedMs > LOOK_MS + (wasUnseen ? LATE_HIDDEN_MS : LATE_SEEN_MS);
        watchSleep();
        if (isLate && !isAway) networkChanged();
      };
      on(document, 'visibilitychange', () => {
        if (document?.hidden) wasUnseen = true;
        else look();
        tellHidden();
      });

      // The way into the network.
      on(globals, 'offline', () => told.offline());
      on(globals, 'online', networkChanged);
      const connection = navigator?.connection;
      let way = connection?.type;
      on(connection, 'change', () => {
        // It also tells of every new estimate of its speed, which changes nothing.
        if (connection?.type !== way) networkChanged();
        way = connection?.type;
      });

      watchSleep();
      tellHidden();
      if (!isOnline()) told.offline();
      return () => {
        stop.abort();
        cancel();
      };
    },
  };
}

const LOOPBACK = /^(localhost|127\..*|\[::1])$/;
