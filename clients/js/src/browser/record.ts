/**
 * How a session is written down for the page that is loaded next: text with a version, checked when it is read.
 *
 * Whatever is odd about it, another version included, makes it no record at all: the page opens a session of its own. What
 * a member means is in `core/output.ts`.
 */

import { base64Of, fromBase64 } from '../codec/text.js';
import type { Saved } from '../core/output.js';
import type { Command } from '../protocol.js';

/** Counted up whenever `Saved` means something else than before. */
const VERSION = 2;

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
    const { version, isLeft, saved } = JSON.parse(text) as Members;
    if (version !== VERSION || typeof isLeft !== 'boolean') return undefined;
    const { known, attach, after, low, commands, said, unkept, atMs } = saved as Members;
    const isWhole =
      (known === undefined || isKnown(known as Members)) &&
      [attach, after, low, said].every(isCount) &&
      Number.isFinite(atMs) &&
      Array.isArray(unkept) &&
      unkept.every(isCount) &&
      Array.isArray(commands) &&
      commands.every(isCommand);
    return isWhole ? { isLeft, saved: { ...(saved as Saved), commands: commands.map(withBytes) } } : undefined;
  } catch {
    return undefined;
  }
}

type Members = Readonly<Record<string, unknown>>;

const isText = (member: unknown): member is string => typeof member === 'string' && member !== '';

const isCount = (member: unknown): boolean => Number.isSafeInteger(member) && (member as number) >= 0;

function isKnown({ session, token, incarnation, user }: Members): boolean {
  return isText(session) && isText(token) && isCount(incarnation) && (user === undefined || isText(user));
}

function isCommand(command: Members | null): boolean {
  return command?.type === 'noop' || (command?.type === 'send' && isText(command.channel));
}

function withBytes(command: Members): Command {
  const { bytes } = command;
  return (bytes === undefined ? command : { ...command, bytes: fromBase64(bytes as string) }) as unknown as Command;
}
