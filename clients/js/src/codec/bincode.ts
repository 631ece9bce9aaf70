/**
 * The binary codec: frames one after the other, each behind its length. docs/codecs.md, The binary codec.
 *
 * It reads by the same tables as the text codec, and gives the same objects. Payloads of JSON are parsed here as well,
 * so what it saves is the wire, and the reading of all that is not payload.
 */

import type { DownFrame } from '../protocol.js';
import type { Codec, Splitter } from './codec.js';
import { MALFORMED, TOO_LARGE, fail, reading } from './fault.js';
import { Pieces } from './pieces.js';
import { Reader, WIDTHS } from './reader.js';
import { DOWN, ITEMS, KINDS, OBJECTS, meta, scalar, settled } from './schema.js';
import type { Fields, Member } from './schema.js';
import { FRAME_BYTES, base64Of, parse, textOf } from './text.js';
import { writeFrame } from './writer.js';

/** The binary codec, `throughline.v1.bincode`. Event streams are text all the same. */
export const bincode = (): Codec => ({
  name: 'throughline.v1.bincode',
  mediaType: 'application/vnd.throughline.v1.bincode',
  encode: (frames) => Uint8Array.from(frames.flatMap((frame) => writeFrame(frame, FRAMES.indexOf(frame.type) + 1))),
  decode: (message) =>
    reading((frames) => {
      if (typeof message === 'string') fail(MALFORMED, 'a message of text');
      const reader = new Reader(message);
      while (reader.left > 0) readFrame(reader.take(frameSize(reader.integer())), frames);
    }),
  splitter,
});

/** In the order of their numbers, which begin with 1; the numbers of both directions are one row. */
const FRAMES =
  'hello attach session commands ack auth volatile ping pong bye welcome items retry migrate error tried'.split(' ');

function splitter(): Splitter {
  const pieces = new Pieces();
  let head: number[] = [];
  let size: number | undefined;
  return {
    push: (bytes) =>
      reading((frames) => {
        for (;;) {
          // A length may be cut as well: it is gathered byte by byte.
          while (size === undefined) {
            const [byte] = bytes;
            if (byte === undefined) return;
            bytes = bytes.subarray(1);
            head.push(byte);
            if (head.length <= (WIDTHS[head[0] ?? 0] ?? 0)) continue;
            size = frameSize(new Reader(Uint8Array.from(head)).integer());
            head = [];
          }
          const missing = size - pieces.size;
          if (bytes.length < missing) return pieces.add(bytes);
          size = undefined;
          const frame = pieces.take(bytes.subarray(0, missing));
          bytes = bytes.subarray(missing);
          readFrame(frame, frames);
        }
      }),
  };
}

const frameSize = (size: number): number => (size > FRAME_BYTES ? fail(TOO_LARGE, 'frame') : size);

function readFrame(bytes: Uint8Array, frames: DownFrame[]): void {
  const reader = new Reader(bytes);
  const number = reader.byte();
  if (number >= 128) return;
  const type = FRAMES[number - 1] ?? '';
  const members = DOWN.get(type) ?? fail('unknown_frame', String(number));
  frames.push({ type, ...read(reader, members) } as unknown as DownFrame);
}

function readItem(bytes: Uint8Array): Fields {
  const reader = new Reader(bytes);
  const [type, members] = [...ITEMS][reader.byte() - 1] ?? [];
  return type && members ? settled({ type, ...read(reader, members) }) : { type: 'unknown' };
}

function read(reader: Reader, members: readonly Member[]): Fields {
  const fields: Fields = {};
  for (const member of members) {
    const { name, mark, kind, list } = member;
    if (kind === 'd') {
      readPayload(reader, fields);
    } else if (kind !== 'b' && (mark !== '?' || reader.flag())) {
      const value = list ? readList(reader, member) : readValue(reader, member);
      // What may be absent in text has the same form here.
      if (mark !== '~' || value === true || Object.keys(value as object).length > 0) fields[name] = value;
    }
  }
  return fields;
}

function readList(reader: Reader, member: Member): unknown[] {
  const count = reader.integer();
  if (count > member.list) fail(TOO_LARGE, member.name);
  return Array.from({ length: count }, () => readValue(reader, member));
}

function readValue(reader: Reader, member: Member): unknown {
  const { kind, name } = member;
  const members = OBJECTS.get(kind);
  if (members) return read(reader, members);
  switch (kind) {
    case 'item':
      return readItem(reader.block());
    case 'i':
      return reader.integer();
    case 'f':
      return reader.flag();
    case 's':
      return base64Of(reader.take(16)).slice(0, 22).replaceAll('+', '-').replaceAll('/', '_');
    case 'k':
      return KINDS[reader.byte()];
    case 'm':
      return readMeta(reader);
    case 'j': {
      const info = reader.block();
      return info.length > 1024 ? fail(TOO_LARGE, name) : readJson(info);
    }
    default:
      return scalar(member, reader.text());
  }
}

function readPayload(reader: Reader, fields: Fields): void {
  const tag = reader.byte();
  if (tag > 2) fail('malformed_payload');
  if (tag === 1) fields.data = readJson(reader.block());
  if (tag === 2) fields.bytes = new Uint8Array(reader.block());
}

function readJson(bytes: Uint8Array): unknown {
  const text = textOf(bytes);
  try {
    return parse(text);
  } catch (error) {
    return error instanceof SyntaxError ? fail('malformed_payload', error.message) : fail('lone_surrogate');
  }
}

function readMeta(reader: Reader): Fields {
  const count = reader.integer();
  const entries = new Map<string, string>();
  for (let left = count; left > 0; left--) {
    const name = reader.text();
    if (entries.has(name)) fail('duplicate_member', name);
    entries.set(name, reader.text());
  }
  return meta([...entries]);
}
