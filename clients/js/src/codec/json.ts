/**
 * The text codec, by the platform's own parser.
 *
 * What that parser hides is left: members that come twice, `1.0` for an integer, a CR between tokens, how deep a value
 * lies. Codes and reasons that nobody knows are kept as they came, for whoever reads them.
 */

import type { DownFrame } from '../protocol.js';
import type { Codec } from './codec.js';
import { MALFORMED, TOO_LARGE, fail, reading } from './fault.js';
import { DOWN, ITEMS, OBJECTS, meta, scalar, settled } from './schema.js';
import type { Fields, Member } from './schema.js';
import { FRAME_BYTES, base64Of, fits, fromBase64, parse, textOf } from './text.js';

/** The text codec, `throughline.v1.json`: every gateway and every transport has it. docs/codecs.md, The text codec. */
export const json = (): Codec => ({
  name: 'throughline.v1.json',
  mediaType: 'text/plain',
  encode: (frames) => frames.map((frame) => `${JSON.stringify(plain(frame))}\n`).join(''),
  decode: (message) =>
    reading((frames) => {
      for (const line of (typeof message === 'string' ? message : textOf(message)).split('\n')) readLine(line, frames);
    }),
});

function readLine(line: string, frames: DownFrame[]): void {
  if (!/[^ \t]/.test(line)) return;
  if (!fits(line, FRAME_BYTES)) fail(TOO_LARGE, 'frame');
  const frame = object(parse(line));
  const type = scalar(TYPE, frame.type) as string;
  if (type.startsWith('x-')) return;
  const members = DOWN.get(type) ?? fail('unknown_frame', type);
  frames.push({ type, ...read(members, frame) } as unknown as DownFrame);
}

const TYPE: Member = { name: 'type', mark: '', kind: '', most: 0, list: 0 };

function object(value: unknown): Fields {
  if (typeof value !== 'object' || !value || Array.isArray(value)) fail(MALFORMED);
  return value as Fields;
}

/** An object by its table, from text that is this client's own. Throws where it is none. */
export const readObject = (kind: string, text: string): Fields => read(OBJECTS.get(kind) ?? [], object(JSON.parse(text)));

export function read(members: readonly Member[], from: Fields): Fields {
  const fields: Fields = {};
  for (const member of members) {
    const { name, mark, list } = member;
    const value = from[name];
    if (value === undefined) {
      if (!mark) fail(MALFORMED, name);
    } else if (list) {
      if (!Array.isArray(value)) fail(MALFORMED, name);
      if (value.length > list) fail(TOO_LARGE, name);
      fields[name] = value.map((entry) => readValue(member, entry));
    } else {
      fields[name] = readValue(member, value);
    }
  }
  if (fields.bytes && 'data' in fields) fail('malformed_payload');
  return fields;
}

function readValue(member: Member, value: unknown): unknown {
  const { kind, name } = member;
  const members = OBJECTS.get(kind);
  if (members) return read(members, object(value));
  if (kind === 'item') {
    const entry = object(value);
    const type = scalar(TYPE, entry.type) as string;
    const members = ITEMS.get(type);
    return members ? settled({ type, ...read(members, entry) }) : { type: 'unknown' };
  }
  switch (kind) {
    case 'd':
      return value;
    case 'j':
      return fits(JSON.stringify(value), 1024) ? value : fail(TOO_LARGE, name);
    case 'b':
      return readBytes(scalar(member, value) as string);
    case 'm':
      return meta(Object.entries(object(value)));
    default:
      return scalar(member, value);
  }
}

function readBytes(text: string): Uint8Array {
  try {
    const bytes = fromBase64(text);
    // The platform forgives what another would read otherwise.
    if (base64Of(bytes) === text) return bytes;
  } catch {
    // It is no base64 at all.
  }
  return fail('malformed_payload');
}

/** What goes up as it is written, its type first: names and order are those of whoever made it. */
const plain = ({ type, ...said }: Said): object => ({
  type,
  ...said,
  ...(said.bytes && { bytes: base64Of(said.bytes) }),
  ...(said.items && { items: said.items.map(plain) }),
});

interface Said {
  readonly type: string;
  readonly bytes?: Uint8Array;
  readonly items?: readonly Said[];
}
