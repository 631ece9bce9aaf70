/**
 * Keeps a session over a reload: what the next page needs of it is in `sessionStorage`, under a key of its own, and is used
 * by one page at a time (docs/protocol.md, Rebuilding; L8, L9).
 *
 * A duplicated tab has a copy of that storage. So the record is used only under a Web Lock named after the session: the
 * page that is alive holds it, and the copy forgets what it found. A page that was reloaded may find the lock still held by
 * the document that is dying. That one has said in `pagehide` that it leaves the session, and gives the lock up; in Chromium
 * its successor had it 8 to 40 ms after it began, and 93 ms after it on a machine with nine tasks for each core.
 * `HANDOVER_MS` is that with room to spare. Nobody waits where there is no record, nor where it was not left and the lock
 * is held: that is a copy. Where it was not left and the lock is free, its page has crashed; or this is a copy of a page that
 * is being loaded again, whose lock is free for just this moment. So such a record is used only if the lock is still free
 * when whoever the session was left to has had its time. A copy that is made in that very moment is as good as the original.
 *
 * Chromium lets a page into its page cache with a lock held, and throws it out as soon as another page wants that lock: so
 * the lock is given up before, and taken again when the page is shown. If the session went on elsewhere meanwhile, it is
 * lost to this page, whatever was sent of unknown outcome: it may have been said there. The next session is this page's own.
 *
 * Where there are no Web Locks (an insecure address), and where no session stands yet that one could be named after (the
 * record has only what was never said), a record is used only if the page before has left it, as it says in `pagehide`;
 * taking it takes that back. A crash loses it there, and a copy that is made of a living tab is none.
 *
 * Writing costs 0.2 ms in Chromium for 64 waiting commands of 200 bytes, and 2 ms for the 128 KiB that are kept at most. It
 * is done once a turn, before its outputs, and only if something has changed. If the storage refuses, keeping is over: half
 * a record would be worse than none.
 *
 * Left out: merging. Of two sessions of one page under one `name` and address the second is not kept, and says so.
 */

import type { Clock } from '../clock.js';
import type { Saved } from '../core/output.js';
import { read, write } from './record.js';

/** How long the lock of a page that is going away is waited for. */
const HANDOVER_MS = 500;

/** What keeps a session. */
export interface Keeper {
  /** Whether it is kept, and why not, for a person. */
  readonly status: string;
  /** What the page before has left, once that is this page's own. Settled at once where there is nothing. */
  take(): Promise<Saved | undefined>;
  /** Keeps this from now on; the same object costs nothing. Without one, nothing is left to keep. */
  keep(saved: Saved | undefined): void;
  /** The page goes away, for good or into the page cache: the session is left to the next. */
  leave(): void;
  /** The session is over: its name is free for another one of this page. */
  end(): void;
  /** The page is back from the cache: whether the session is still its own. */
  comeBack(): Promise<boolean>;
}

export interface KeeperOptions {
  readonly keep: 'tab' | 'never';
  /** Of the session, where a page has several with one gateway. */
  readonly name: string;
  /** Where the gateway is mounted. */
  readonly base: URL;
  readonly clock: Clock;
  /** Default: this page's. */
  readonly tab?: Tab | undefined;
}

/** What a page has to keep a session with. */
export interface Tab {
  readonly storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;
  readonly locks?: Locks | undefined;
  /** Who keeps a session here, by the key in the storage. */
  readonly keys: Map<string, Keeper>;
}

/** Of `navigator.locks`, what is used. */
export interface Locks {
  request(
    name: string,
    options: { readonly signal: AbortSignal } | { readonly ifAvailable: true },
    granted: (lock: unknown) => Promise<void>,
  ): Promise<unknown>;
}

/** Keeps a session where it can be kept. */
export function keeper({ keep, name, base, clock, tab }: KeeperOptions): Keeper {
  if (keep === 'never') return forgetful('not kept: not wanted');
  try {
    const found = tab ?? thisTab();
    const key = `throughline:${name}:${base.href}`;
    if (!found) return forgetful('not kept: this is no page');
    if (found.keys.has(key)) return forgetful('not kept: its name is taken');
    return new TabKeeper(key, found, clock);
  } catch (error) {
    // To look at the storage is enough to be refused.
    return forgetful(refused(error));
  }
}

/** Of this page. */
const keys = new Map<string, Keeper>();

function thisTab(): Tab | undefined {
  // A server's platform may have a storage of this name, which no tab owns.
  if (typeof document === 'undefined' || typeof sessionStorage === 'undefined') return undefined;
  return { storage: sessionStorage, locks: (navigator as Partial<Navigator>).locks, keys };
}

/** Keeps nothing, and says why. */
export function forgetful(status: string): Keeper {
  return { status, take: async () => undefined, keep() {}, leave() {}, end() {}, comeBack: async () => true };
}

class TabKeeper implements Keeper {
  readonly #key: string;
  readonly #tab: Tab;
  readonly #clock: Clock;
  #last: Saved | undefined;
  /** What was written last; nothing where nothing is kept. */
  #text: string | undefined;
  #isAway = false;
  /** The session that went on elsewhere. */
  #disowned: string | undefined;
  #isOff = false;
  #status = 'kept in this tab';
  #release: () => void = () => {};

  constructor(key: string, tab: Tab, clock: Clock) {
    this.#key = key;
    this.#tab = tab;
    tab.keys.set(key, this);
    this.#clock = clock;
  }

  get status(): string {
    return this.#isDisowned ? 'not kept: it went on in another page' : this.#status;
  }

  async take(): Promise<Saved | undefined> {
    const text = this.#touch((storage) => storage.getItem(this.#key));
    if (typeof text !== 'string') return undefined;
    const record = read(text);
    const session = record?.saved.known?.session;
    const isLocked = session !== undefined && this.#tab.locks;
    if (!record || !(isLocked ? await this.#claim(session, record.isLeft) : record.isLeft)) {
      this.#store(undefined);
      return undefined;
    }
    this.#last = record.saved;
    this.#store(record.saved);
    return record.saved;
  }

  keep(saved: Saved | undefined): void {
    if (saved === this.#last || this.#isOff) return;
    const before = this.#last?.known?.session;
    this.#last = saved;
    const session = saved?.known?.session;
    if (session !== before) this.#release();
    if (this.#isDisowned) return;
    if (session !== undefined && session !== before) void this.#lock(session, Infinity);
    // What another session of this page has written is its own.
    if (saved || this.#isOurs()) this.#store(saved);
  }

  leave(): void {
    this.#isAway = true;
    this.end();
    if (this.#isOurs()) this.#store(this.#last);
    this.#release();
  }

  end(): void {
    const { keys } = this.#tab;
    if (keys.get(this.#key) === this) keys.delete(this.#key);
  }

  async comeBack(): Promise<boolean> {
    this.#isAway = false;
    this.#tab.keys.set(this.#key, this);
    const session = this.#last?.known?.session;
    if (!this.#last || this.#isOff) return true;
    const isOwn = this.#isOurs() && (session === undefined || !this.#tab.locks || (await this.#lock(session, HANDOVER_MS)));
    if (isOwn) this.#store(this.#last);
    else this.#disowned = session;
    return isOwn;
  }

  get #isDisowned(): boolean {
    const session = this.#last?.known?.session;
    return session !== undefined && session === this.#disowned;
  }

  /** Whether the record is still the one that this page wrote. */
  #isOurs(): boolean {
    return this.#text !== undefined && this.#touch((storage) => storage.getItem(this.#key)) === this.#text;
  }

  #store(saved: Saved | undefined): void {
    const text = saved && write(saved, this.#isAway);
    this.#text = text;
    this.#touch((storage) => (text === undefined ? storage.removeItem(this.#key) : storage.setItem(this.#key, text)));
  }

  /** Storage may refuse whatever it is asked: then keeping is over. */
  #touch<T>(what: (storage: Tab['storage']) => T): T | undefined {
    const { storage } = this.#tab;
    try {
      return this.#isOff ? undefined : what(storage);
    } catch (error) {
      this.#isOff = true;
      this.#status = refused(error);
      this.#release();
      // What is there is older than what is said from now on: the next page would use numbers that are taken.
      try {
        storage.removeItem(this.#key);
      } catch {
        // It refuses that too, and so will it what the next page asks.
      }
      return undefined;
    }
  }

  /** Takes the lock of a session that was found: at once after whoever left it, and else after all who were left it. */
  async #claim(session: string, isLeft: boolean): Promise<boolean> {
    if (isLeft) return this.#lock(session, HANDOVER_MS);
    if (!(await this.#lock(session, 0))) return false;
    this.#release();
    await new Promise<void>((resolve) => this.#clock.after(HANDOVER_MS, resolve));
    return this.#lock(session, 0);
  }

  /**
   * Takes the lock of a session, if it is to be had in time, and holds it until it is released. Returns whether it is held.
   * On a busy machine this page's timer may come before the lock that has been free for long: so after it, it is asked once more.
   */
  #lock(session: string, waitMs: number): Promise<boolean> {
    const { locks } = this.#tab;
    if (!locks) return Promise.resolve(false);
    return new Promise((resolve) => {
      const late = new AbortController();
      const cancel = Number.isFinite(waitMs) ? this.#clock.after(waitMs, () => late.abort()) : () => {};
      const granted = async (lock: unknown): Promise<void> => {
        cancel();
        resolve(!!lock);
        if (lock) await new Promise<void>((release) => (this.#release = release));
      };
      const options = waitMs ? { signal: late.signal } : ({ ifAvailable: true } as const);
      locks.request(`throughline:${session}`, options, granted).catch(() => resolve(waitMs > 0 && this.#lock(session, 0)));
    });
  }
}

function refused(error: unknown): string {
  return `not kept: the storage refused it (${error instanceof Error ? error.name : String(error)})`;
}
