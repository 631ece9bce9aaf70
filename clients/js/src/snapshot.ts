/**
 * Fills a channel from a snapshot and keeps it right: what is told is a snapshot, then exactly the events after it.
 *
 * The subscription and the fetch run side by side, so that a view is filled in one round trip. Which of the two is carried
 * out first nobody knows. If the snapshot is the later one, the events up to its position come as well, and are dropped.
 * If it is the earlier one, what was said between would be missing: so the subscription begins with the last `OVERLAP`
 * events, which fill that space, and are dropped too where it was not needed. Where even they do not reach back to the
 * snapshot it is fetched once more; taken after the subscription stood, it cannot be too old.
 *
 * All of this is one comparison. `need` is the place that a snapshot has to have reached for the events that follow to go
 * on from it: where the subscription began, the end of the last gap, an event that was dropped since too many waited. A
 * snapshot that is not there yet, or that is of another epoch (epochs have no order, docs/protocol.md, Events and gaps:
 * what lies between is unknown, as after a gap), is not told but fetched again. A gap whose reason is `conflated` is none
 * in this sense: newer events stand for those that it names.
 */

import type { ChannelEvent, Happening, Snapshot, SnapshotReason, SubscribeOptions } from './channel.js';
import type { Clock, Random } from './clock.js';
import { backoffMs } from './patience.js';
import { isPosition, must } from './payload.js';
import type { Gap, Position } from './protocol.js';

/** How many events before the subscription make up for a snapshot that was taken a little earlier. */
export const OVERLAP = 20;

/** How many events wait for a snapshot; past it the oldest are dropped, and the snapshot has to cover them. */
const MOST_WAITING = 1_024;

type Event = ChannelEvent;
type Fetch = NonNullable<SubscribeOptions['snapshot']>;

export interface SnapshotsOptions {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: Random;
  tell(happening: Happening): void;
  /** `hasTold` or `trouble` changed, out of turn. */
  changed(): void;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;
  /** Whether a snapshot was told: before it there is nothing to show. */
  hasTold = false;
  /** Why what was told is not what is. */
  trouble: 'gap' | 'snapshot' | undefined;
  /** What the last fetch threw. */
  error: unknown;

  /** Where the subscription began, or goes on behind a gap; nothing before it stands. */
  #need: Position | undefined;
  /** Up to where the last snapshot that was told goes. */
  #covered: Position | undefined;
  /** The events that wait for a snapshot; nothing where none is awaited. */
  #waiting: Event[] | undefined = [];
  /** A snapshot that came before the subscription stood. */
  #early: Snapshot<unknown> | undefined;
  #running: AbortController | undefined;
  #takeBack: (() => void) | undefined;
  #failures = 0;
  /** Snapshots in a row that were not there yet. */
  #tooOld = 0;
  #isOver = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#fetch('first', 0);
  }

  /** The subscription stands here. */
  begin(position: Position): void {
    this.#need = position;
    const early = this.#early;
    this.#early = undefined;
    if (early) this.#judge(early);
  }

  event(event: Event): void {
    if (reaches(this.#covered, event.position)) return;
    if (!this.#waiting) {
      this.#options.tell(event);
      return;
    }
    this.#waiting.push(event);
    if (this.#waiting.length > MOST_WAITING) this.#need = this.#waiting.shift()?.position;
  }

  gap(gap: Gap & { readonly channel: string }): void {
    // What the snapshot has is not missing.
    if (reaches(this.#covered, gap.to)) return;
    // Newer events stand for what was left out, and follow: the view stays right without another snapshot.
    if (gap.reason === 'conflated') {
      if (!this.#waiting) this.#options.tell(gap);
      return;
    }
    this.#options.tell(gap);
    this.#need = gap.to;
    this.#waiting = [];
    this.trouble ??= 'gap';
    this.#again('gap');
  }

  /** Fetches it for somebody who joined late. Events wait meanwhile, so that none is told twice. */
  refresh(position: Position | undefined): void {
    if (this.#waiting) return;
    this.#need = position;
    this.#waiting = [];
    this.#again('refresh');
  }

  end(): void {
    this.#isOver = true;
    this.#running?.abort();
    this.#takeBack?.();
  }

  /** One is wanted that is newer than what is under way, if something is. */
  #again(reason: SnapshotReason): void {
    this.#tooOld = 0;
    if (this.#running) this.#running.abort();
    else this.#fetch(reason, 0);
  }

  #fetch(reason: SnapshotReason, delayMs: number): void {
    this.#takeBack?.();
    if (delayMs) {
      this.#takeBack = this.#options.clock.after(delayMs, () => this.#run(reason));
      return;
    }
    let isWanted = true;
    this.#takeBack = () => (isWanted = false);
    queueMicrotask(() => isWanted && this.#run(reason));
  }

  #run(reason: SnapshotReason): void {
    this.#takeBack = undefined;
    const { signal } = (this.#running = new AbortController());
    // One at a time: one that was aborted is waited for, and may be good all the same.
    const fetched = new Promise<Snapshot<unknown>>((resolve) => resolve(this.#options.fetch({ signal, reason })));
    fetched.then(checked).then(
      (snapshot) => {
        this.#running = undefined;
        this.#failures = 0;
        if (!this.#isOver) this.#judge(snapshot);
      },
      (error: unknown) => {
        this.#running = undefined;
        if (this.#isOver) return;
        if (signal.aborted) this.#fetch('gap', 0);
        else this.#failed(reason, error, ++this.#failures);
      },
    );
  }

  #failed(reason: SnapshotReason, error: unknown, failures: number): void {
    this.trouble = 'snapshot';
    this.error = error;
    this.#fetch(reason, backoffMs(failures, this.#options.random));
    this.#options.changed();
  }

  #judge(snapshot: Snapshot<unknown>): void {
    if (!this.#need) {
      this.#early = snapshot;
    } else if (reaches(snapshot.position, this.#need)) {
      const waiting = this.#waiting ?? [];
      this.#covered = snapshot.position;
      this.#waiting = this.trouble = this.error = undefined;
      this.#tooOld = 0;
      this.hasTold = true;
      this.#options.tell({ type: 'snapshot', ...snapshot });
      for (const event of waiting) this.event(event);
      this.#options.changed();
    } else if (this.#tooOld++) {
      this.#failed('gap', new Error('the snapshot is too old'), this.#tooOld - 1);
    } else {
      // It was only the earlier of the two; the next one cannot be, unless its source is behind.
      this.#fetch(this.hasTold ? 'gap' : 'first', 0);
    }
  }
}

/** Whether a place is at or behind another, of the same epoch. */
export function reaches(place: Position | undefined, other: Position): boolean {
  return place?.epoch === other.epoch && place.offset >= other.offset;
}

/** Holds what came to what a snapshot is: an answer of another kind counts as none. */
function checked(snapshot: Snapshot<unknown>): Snapshot<unknown> {
  const { position } = Object(snapshot) as Partial<Snapshot<unknown>>;
  must(isPosition(position), 'a snapshot is { state, position: { epoch, offset } }', snapshot);
  return snapshot;
}
