/** What `connect` takes. Every member has a default that suits a page. */

import type { Environment } from './browser/environment.js';
import type { Page } from './browser/page.js';
import type { Clock, Random } from './clock.js';
import type { Codec } from './codec/codec.js';
import type { Verdict } from './core/output.js';
import type { Timing } from './core/timing.js';
import type { Transport } from './transports/transport.js';

/** What `auth` is called with. */
export interface AuthContext {
  /** Before the first link; when the gateway refused the last credentials; before they expire. */
  readonly reason: 'start' | 'unauthorized' | 'expiring';
  /** Aborted when nobody wants them any more, and after 30 s: then it is called again. */
  readonly signal: AbortSignal;
}

/** Where it is remembered which transport worked with a gateway. A verdict is good for a day. */
export interface VerdictStore {
  load(): Verdict | undefined;
  save(verdict: Verdict | undefined): void;
}

/** How the session lives with its page. */
export interface PageOptions {
  /**
   * Whether a page that is loaded again keeps the session. `'tab'`: in `sessionStorage`, used under a Web Lock, so that a
   * duplicated tab has a session of its own. `'never'`: nothing is kept. Default: `'tab'` where the platform has both.
   */
  readonly keep?: 'tab' | 'never';
  /** What the kept session is called, where a page has several with one gateway. Default: `'default'`. */
  readonly name?: string;
  /** Default: `localStorage` in a page, memory elsewhere. `false`: nothing is remembered. */
  readonly verdicts?: VerdictStore | false;
  /** The life of the page: default: the platform's. Tests hand another in. */
  readonly environment?: Environment;
}

/** What is asked of a session, wherever it runs. */
export interface SessionOptions {
  /**
   * Whether better transports are tried beside the one that works (docs/negotiation.md). Otherwise the first is used, and
   * the next when it fails. Default: true.
   */
  readonly negotiate?: boolean;
  /**
   * Gives the user's credential. Called before the first link, when it was refused, and before it expires; one call at a
   * time. What it throws is tried again, 1 s apart at first and 30 s at most, and so is what is no text. Nothing, or an
   * empty text, shows none. Default: none is shown.
   */
  readonly auth?: (context: AuthContext) => string | undefined | Promise<string | undefined>;
  /** Aborting it closes the session. */
  readonly signal?: AbortSignal;
  /** Who this is, for whoever looks at the gateway. Default: this package. */
  readonly client?: { readonly name: string; readonly version: string };
  /** How many commands may be under way; those beyond wait their turn. Default: 1,024. */
  readonly commands?: number;
  readonly timing?: Partial<Timing>;
  /** Default: the platform's. */
  readonly clock?: Clock;
  /** Default: `Math.random`. */
  readonly random?: Random;
}

/** What `connect` takes. */
export interface ConnectOptions extends SessionOptions, PageOptions {
  /** In order of preference. Default: `[webSocket(), sse(), polling()]`. */
  readonly transports?: readonly Transport[];
  /** Default: text. `bincode()` of `throughline-client/bincode` is smaller. Event streams are always text. */
  readonly codec?: Codec;
}

/** What `connect` of `throughline-client/core` takes: nothing is put in place of what is not handed in. */
export interface OpenOptions extends SessionOptions {
  /** In order of preference. */
  readonly transports: readonly Transport[];
  readonly codec: Codec;
  /**
   * `page()`: the session survives a reload, remembers what worked, and hears of sleep and of networks that change. Without
   * it nothing of that is so: for a worker, or a process.
   */
  readonly page?: Page;
}
