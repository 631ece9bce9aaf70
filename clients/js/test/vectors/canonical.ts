/**
 * What comes down, written in the canonical text by the order of the tables: how the vectors say what a message means.
 * The client itself never writes it. Payloads are compared as the platform writes them.
 */

import { errorCodes, retryReasons } from '../../src/codes.js';
import { DOWN, ITEMS, OBJECTS } from '../../src/codec/schema.js';
import type { Fields, Member, Table } from '../../src/codec/schema.js';
import { base64Of } from '../../src/codec/text.js';
import type { DownFrame } from '../../src/protocol.js';

/** The canonical text of these frames. */
export const canonical = (frames: readonly DownFrame[]): string =>
  frames.map((frame) => `${JSON.stringify(typed(DOWN, frame as unknown as Fields))}\n`).join('');

/** The same of a text that is canonical but for its payloads, without extensions, which this client drops. */
export function rewritten(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('{"type":"x-'));
  return lines.map((line) => `${JSON.stringify(JSON.parse(line))}\n`).join('');
}

/** What another receiver would keep as `other` is kept here as it came. */
const KNOWN = new Set<unknown>([
  ...Object.keys(errorCodes),
  ...retryReasons,
  ...['requested', 'revoked', 'trimmed', 'epoch', 'conflated', 'overflow'],
]);

function typed(table: Table, { type, ...fields }: Fields): Fields {
  const members = table.get(type as string);
  if (!members) return { type };
  const code = type === 'error' ? 'code' : 'reason';
  const known = fields[code] === undefined || KNOWN.has(fields[code]) ? fields : { ...fields, [code]: 'other' };
  return { type, ...written(members, known) };
}

function written(members: readonly Member[], fields: Fields): Fields {
  const said: Fields = {};
  for (const { name, mark, kind, list } of members) {
    const value = fields[name];
    if (value === undefined || (mark === '~' && isDefault(value))) continue;
    said[name] = list ? (value as unknown[]).map((entry) => one(kind, entry)) : one(kind, value);
  }
  return said;
}

const isDefault = (value: unknown): boolean =>
  value === false || (typeof value === 'object' && Object.keys(value ?? {}).length === 0);

function one(kind: string, value: unknown): unknown {
  if (kind === 'item') return typed(ITEMS, value as Fields);
  if (kind === 'b') return base64Of(value as Uint8Array);
  const members = OBJECTS.get(kind);
  return members ? written(members, value as Fields) : value;
}
