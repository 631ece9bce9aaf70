/**
 * Asks the application for credentials: one call at a time, again after a while when it throws, takes too long, or gives
 * what the gateway refuses.
 */

import type { Clock, Random } from './clock.js';
import type { AuthContext, ConnectOptions } from './options.js';
import { backoffMs, unlessAborted } from './patience.js';
import { said } from './payload.js';

/** How long one call may take. */
const PATIENCE_MS = 30_000;

/** How long before credentials expire others are asked for, at most; where they live shorter, half-way. */
const AHEAD_MS = 30_000;

export interface CredentialsOptions {
  readonly auth: NonNullable<ConnectOptions['auth']>;
  readonly clock: Clock;
  readonly random: Random;
  /** Nothing where the application has none. */
  give(token: string | undefined): void;
  /** `status` changed. */
  changed(): void;
}

export class Credentials {
  readonly #options: CredentialsOptions;
  /** What is waited for; nothing while nothing is. `retryAt` by `Clock.wall`. */
  status: { readonly reason: string; readonly retryAt?: number } | undefined;

  #running: AbortController | undefined;
  #cancel: (() => void) | undefined;
  #cancelExpiry: (() => void) | undefined;
  #expiresAtMs = Infinity;
  /** In a row: calls that failed, and credentials that were refused. */
  #failures = 0;
  /** Whether credentials were given that nobody has taken yet. */
  #isUntried = false;
  #isOver = false;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** They are wanted. */
  ask(reason: AuthContext['reason']): void {
    if (this.#isOver || this.status) return;
    if (this.#isUntried && reason === 'unauthorized') this.#failures++;
    this.#isUntried = false;
    this.#wait(reason, 'waits for credentials');
  }

  /** The gateway has taken them, until `expiresAtMs` (`Clock.now`). */
  taken(expiresAtMs: number): void {
    this.#isUntried = false;
    // While others are asked for, that those before are good says nothing.
    if (!this.status) this.#failures = 0;
    if (expiresAtMs === this.#expiresAtMs) return;
    this.#expiresAtMs = expiresAtMs;
    this.#cancelExpiry?.();
    if (expiresAtMs === Infinity) return;
    const leftMs = expiresAtMs - this.#options.clock.now();
    this.#cancelExpiry = this.#options.clock.after(leftMs - Math.min(AHEAD_MS, leftMs / 2), () => this.ask('expiring'));
  }

  end(): void {
    this.#isOver = true;
    this.#running?.abort();
    this.#cancel?.();
    this.#cancelExpiry?.();
  }

  #wait(reason: AuthContext['reason'], why: string): void {
    const { clock, random } = this.#options;
    const delayMs = backoffMs(this.#failures, random);
    this.status = { reason: why, ...(delayMs && { retryAt: clock.wall() + delayMs }) };
    this.#options.changed();
    if (delayMs) this.#cancel = clock.after(delayMs, () => this.#call(reason));
    else this.#call(reason);
  }

  #call(reason: AuthContext['reason']): void {
    const { auth, clock, give } = this.#options;
    const running = (this.#running = new AbortController());
    const { signal } = running;
    this.#cancel = clock.after(PATIENCE_MS, () => running.abort(new Error('they did not come')));
    const asked = new Promise<string | undefined>((resolve) => resolve(auth({ reason, signal })));
    unlessAborted(asked, signal)
      .then((token) => said('auth', { token }).token || undefined)
      .finally(() => this.#cancel?.())
      .then(
        (token) => {
          if (this.#isOver) return;
          this.status = undefined;
          this.#isUntried = true;
          give(token);
        },
        (error: unknown) => {
          if (this.#isOver) return;
          this.#failures++;
          this.#wait(reason, `no credentials: ${error instanceof Error ? error.message : String(error)}`);
        },
      );
  }
}
