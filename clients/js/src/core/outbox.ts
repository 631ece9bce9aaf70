/**
 * The commands that have no reply yet, numbered.
 *
 * A command is kept until its reply, not until its acknowledgement (C2): a session rebuilt after a crash, or by another
 * page, wants it again. What is numbered keeps its number for as long as the session lives; a number whose reply is known
 * is filled by a `noop` where it has to be said again.
 */

import type { Clock } from '../clock.js';
import type { Command, UpFrame } from '../protocol.js';
import type { Saved } from './output.js';

/**
 * Who waits for a command: a ticket of the application, or the client itself, for a subscription made anew (`renewal`) or
 * for presence in one that is held (`wish`).
 */
export type Owner = number | 'renewal' | 'wish';

export type Commands = Extract<UpFrame, { readonly type: 'commands' }>;

/** What is kept over a reload, at most. */
const SAVED_BYTES = 131_072;

/**
 * For how long a gateway knows the `id` of a send (docs/protocol.md, Send and reply), less the time that it takes to say it. By
 * both clocks: one may stand still while a machine sleeps, the other may be set back.
 */
const KNOWN_MS = 240_000;

/** The most in one frame (docs/codecs.md, Sizes). */
const FRAME_ITEMS = 4_096;

/** A comma, and what base64 is wrapped in. */
const OVERHEAD_BYTES = 16;

const noop: Command = { type: 'noop' };

interface Entry {
  command: Command;
  /** Nobody waits any more once it is replied. */
  owner: Owner | undefined;
  bytes: number;
  /** When it was first said, by either clock; `Infinity` before. */
  saidMs: number;
  wallMs: number;
}

export class Outbox {
  /** The lowest unreplied number; one past the last when all are replied. */
  low = 1;
  /** The last number that the gateway took. */
  taken = 0;
  /** Rises whenever what has to be kept over a reload is another. */
  revision = 0;
  #entries: Entry[] = [];
  readonly #wall: Clock['wall'];

  constructor(wall: Clock['wall']) {
    this.#wall = wall;
  }

  /** The number that the next command gets. */
  get next(): number {
    return this.low + this.#entries.length;
  }

  /** Since when the oldest unreplied command is out; `Infinity` where none is. */
  get unrepliedSinceMs(): number {
    return this.#entries[0]?.saidMs ?? Infinity;
  }

  /** Numbers a command. */
  push(command: Command, owner: Owner, bytes = sizeOf(command)): void {
    this.#push({ command, owner, bytes, saidMs: Infinity, wallMs: Infinity });
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    this.revision++;
  }

  /** Whether `run` has something to say after `after`. */
  hasRun(after: number, ahead: number): boolean {
    return after + 1 < this.#end(ahead);
  }

  #end(ahead: number): number {
    return Math.min(this.next, this.low + Math.max(ahead, 1));
  }

  /** The commands to say after `after`: within the window of `ahead` unreplied ones, and of these bytes, but one at least. */
  run(nowMs: number, after: number, ahead: number, budgetBytes: number): Commands | undefined {
    const items: Command[] = [];
    const end = Math.min(this.#end(ahead), after + FRAME_ITEMS);
    for (let number = after + 1, bytes = 0; number < end; number++) {
      // C2: the gateway wants a number again whose reply has come.
      const entry = this.#entries[number - this.low];
      bytes += entry?.bytes ?? OVERHEAD_BYTES;
      if (bytes > budgetBytes && items.length) break;
      if (entry?.saidMs === Infinity) {
        entry.saidMs = nowMs;
        entry.wallMs = this.#wall();
        this.revision++;
      }
      items.push(entry?.command ?? noop);
    }
    return items.length ? { type: 'commands', first: after + 1, items } : undefined;
  }

  /** The commands to say in the message that opens a session: those before the first `send` (C5). */
  openingRun(nowMs: number, ahead: number, budgetBytes: number): Commands | undefined {
    const sends = this.#entries.findIndex(({ command }) => command.type === 'send');
    const count = sends < 0 ? this.#entries.length : sends;
    return count ? this.run(nowMs, this.low - 1, Math.min(ahead, count), budgetBytes) : undefined;
  }

  /** Whether a subscribe of this channel is still to be answered. */
  asksFor(channel: string): boolean {
    return this.#entries.some(({ command }) => command.type === 'subscribe' && command.channel === channel);
  }

  /** Notes the reply of a number; tells who waited for it and what it was, once. */
  reply(number: number | undefined): { readonly owner: Owner; readonly command: Command } | undefined {
    const entry = number === undefined ? undefined : this.#entries[number - this.low];
    if (entry?.owner === undefined) return undefined;
    const { owner, command } = entry;
    Object.assign(entry, { owner: undefined, command: noop, bytes: OVERHEAD_BYTES });
    while (this.#entries[0] && this.#entries[0].owner === undefined) {
      this.#entries.shift();
      this.low++;
    }
    this.revision++;
    return { owner, command };
  }

  /** Notes that the gateway took everything up to `number`. Returns whether that was news. */
  confirm(number: number): boolean {
    const isNews = number > this.taken && number < this.next;
    if (isNews) this.taken = number;
    return isNews;
  }

  /** The number of the largest command that is on its way. */
  largestOnItsWay(): number | undefined {
    let largest: number | undefined;
    let most = 0;
    this.#entries.forEach(({ owner, saidMs, bytes }, index) => {
      const number = this.low + index;
      if (number > this.taken && owner !== undefined && saidMs < Infinity && bytes >= most) [largest, most] = [number, bytes];
    });
    return largest;
  }

  /**
   * Begins anew for a new session: numbers from 1, `renewals` first, then what is left.
   *
   * C6: a `send` that was said and has no reply is not said again; its owner is returned, its outcome unknown. One with an
   * `id` is said again, where it is sure that the gateway knows that: for a while, and for an authenticated user alone.
   */
  beginAnew(nowMs: number, renewals: readonly Command[], isAuthenticated: boolean): Owner[] {
    const old = this.#entries;
    [this.low, this.taken, this.#entries] = [1, 0, []];
    for (const renewal of renewals) this.push(renewal, 'renewal');
    const unknown: Owner[] = [];
    for (const entry of old) {
      const { owner, command, saidMs, wallMs } = entry;
      if (typeof owner !== 'number') continue;
      const ageMs = Math.max(nowMs - saidMs, this.#wall() - wallMs);
      const isSure = isAuthenticated && command.type === 'send' && command.id !== undefined && ageMs < KNOWN_MS;
      if (isUnknown(entry) && !isSure) unknown.push(owner);
      // What is said again is no less in doubt than it was.
      else this.#push({ ...entry, saidMs: isSure ? saidMs : Infinity });
    }
    return unknown;
  }

  /** Who knows which of them were said, and when. */
  doubt(): void {
    for (const entry of this.#entries) entry.saidMs = -Infinity;
  }

  /** Everyone who still waits, and whether the outcome is unknown. Nothing is left. */
  abandon(): { readonly owner: Owner | undefined; readonly isUnknown: boolean }[] {
    const abandoned = this.#entries.map((entry) => ({ owner: entry.owner, isUnknown: isUnknown(entry) }));
    this.low = this.next;
    this.#entries = [];
    return abandoned;
  }

  /**
   * What the next page needs of them: the channels are for its application to say. Where no session `stands` they begin with
   * 1, and what was said is not kept: nobody could tell any more whether the gateway knows its `id`.
   */
  save(stands: boolean): Pick<Saved, 'low' | 'commands' | 'said' | 'unkept' | 'atMs'> {
    let { low } = this;
    let room = SAVED_BYTES;
    let said = 0;
    let atMs = this.#wall();
    const commands: Command[] = [];
    const unkept: number[] = [];
    this.#entries.forEach(({ command, owner, bytes, saidMs, wallMs }, index) => {
      const number = this.low + index;
      const isSend = owner !== undefined && command.type === 'send';
      const isKept = isSend && bytes <= room && (stands || saidMs === Infinity);
      if (stands && saidMs < Infinity) said = number;
      if (isKept) {
        room -= bytes;
        atMs = Math.min(atMs, wallMs);
      } else if (isSend) unkept.push(number);
      if (isSend || commands.length || !stands) commands.push(isKept ? command : noop);
      else low = number + 1;
    });
    return { low, commands: room < SAVED_BYTES || unkept.length ? commands : [], said, unkept, atMs };
  }

  /** Goes on with what the page before has left, each under its number and minus its number as its ticket. */
  restore({ low, commands, said, atMs }: Saved, nowMs: number): void {
    const saidMs = nowMs - Math.max(0, this.#wall() - atMs);
    [this.low, this.taken] = [low, low - 1];
    commands.forEach((command, index) => {
      const number = low + index;
      const owner = command.type === 'send' ? -number : undefined;
      this.#entries.push({ command, owner, bytes: sizeOf(command), saidMs: number <= said ? saidMs : Infinity, wallMs: atMs });
    });
  }
}

const isUnknown = ({ command, saidMs }: Entry): boolean => command.type === 'send' && saidMs < Infinity;

/** At most how many bytes a command takes in either codec: text is never shorter than the binary form of the same. */
export function sizeOf(command: Command): number {
  return OVERHEAD_BYTES + lengthOf(command);
}

const encoder = new TextEncoder();

/** At most how many bytes a frame, or several, or what is in one, take in either codec. */
export function lengthOf(frames: object): number {
  let binary = 0;
  const text = JSON.stringify(frames, (_, member: unknown) => {
    if (!(member instanceof Uint8Array)) return member;
    binary += Math.ceil(member.length / 3) * 4;
    return '';
  });
  return encoder.encode(text).length + binary;
}
