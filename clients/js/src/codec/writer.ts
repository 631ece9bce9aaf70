/** What goes up, written in the binary codec by its tables: the canonical form. Internal to it. */

import type { UpFrame } from '../protocol.js';
import type { Fields, Member } from './schema.js';
import { bytesOf } from './text.js';
import { COMMANDS, PARTS, UP } from './up.js';

/** A frame of this number, behind its length. */
export const writeFrame = (frame: UpFrame, number: number): number[] =>
  block([number, ...write(UP.get(frame.type), frame as UpFrame & Fields)]);

function write(members: readonly Member[] = [], fields: Fields): number[] {
  const out: number[] = [];
  const append = (bytes: Iterable<number>) => {
    for (const byte of bytes) out.push(byte);
  };
  for (const { name, mark, kind, list } of members) {
    const value = fields[name];
    if (kind === 'b') continue; // It was written with `data`, whose place it takes.
    if (kind === 'd') {
      append(payload(value, fields.bytes as Uint8Array | undefined));
    } else if (value === undefined) {
      // Absent, and every default, is one zero.
      out.push(0);
    } else {
      if (mark === '?') out.push(1);
      append(list ? listOf(value as unknown[], (entry) => writeValue(kind, entry)) : writeValue(kind, value));
    }
  }
  return out;
}

function payload(data: unknown, bytes: Uint8Array | undefined): Iterable<number> {
  if (bytes) return [2, ...block(bytes)];
  return data === undefined ? [0] : [1, ...text(JSON.stringify(data))];
}

function writeValue(kind: string, value: unknown): number[] {
  const fields = value as Fields;
  const members = PARTS.get(kind);
  if (members) return write(members, fields);
  switch (kind) {
    case 'i':
      return integer(value as number);
    case 'f':
      return [value ? 1 : 0];
    case 'command': {
      const names = [...COMMANDS.keys()];
      const type = fields.type as string;
      return block([names.indexOf(type) + 1, ...write(COMMANDS.get(type), fields)]);
    }
    case 'm':
      return listOf(byName(fields), ([name, value]) => [...text(name), ...text(value as string)]);
    case 'p':
      return listOf(byName(fields), ([channel, place]) => [...text(channel), ...writeValue('position', place)]);
    case 'from':
      if (value === 'now') return [0];
      if ('last' in fields) return [1, ...integer(fields.last as number)];
      return [2, ...writeValue('position', fields.position)];
    default:
      return text(value as string);
  }
}

/** What is in an object whose names have no order of their own, by the bytes of the names, which are ASCII. */
const byName = (fields: Fields): [string, unknown][] => Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));

const listOf = <T>(entries: readonly T[], write: (entry: T) => number[]): number[] => [
  ...integer(entries.length),
  ...entries.flatMap(write),
];

const text = (value: string): number[] => block(bytesOf(value));

const block = (bytes: ArrayLike<number>): number[] => [...integer(bytes.length), ...Array.from(bytes)];

/** In the shortest form. */
function integer(value: number): number[] {
  if (value < 251) return [value];
  const [first, width] = value < 2 ** 16 ? [251, 2] : value < 2 ** 32 ? [252, 4] : [253, 8];
  return [first, ...Array.from({ length: width }, (_, at) => Math.floor(value / 256 ** at) % 256)];
}
