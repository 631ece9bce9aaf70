/**
 * How a session is written down for the page that is loaded next: text with a version, checked when it is read.
 *
 * Whatever is odd about it, another version included, makes it no record at all: the page opens a session of its own. What
 * a member means is in `core/output.ts`.
 */

import { readObject } from '../codec/json.js';
import { base64Of } from '../codec/text.js';
import type { Saved } from '../core/output.js';
import type { Command } from '../protocol.js';

/** Counted up whenever `Saved` means something else than before. */
const VERSION = 3;

export interface TabRecord {
  readonly saved: Saved;
  /** Whether the page that wrote it has gone, and left it to the next. */
  readonly isLeft: boolean;
}

export function write(saved: Saved, isLeft: boolean): string {
  return JSON.stringify({ version: VERSION, isLeft, saved }, (_, member: unknown) => {
    return member instanceof Uint8Array ? base64Of(member) : member;
  });
}

/** A record, unless there is something odd about it. */
export function read(text: string): TabRecord | undefined {
  try {
    const record = readObject('record', text) as unknown as TabRecord & { readonly version: number };
    return record.version === VERSION && record.saved.commands.every(isKept) ? record : undefined;
  } catch {
    return undefined;
  }
}

const isKept = (command: Command): boolean => command.type === 'noop' || (command.type === 'send' && !!command.channel);
