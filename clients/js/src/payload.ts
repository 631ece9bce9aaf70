/**
 * What an application may say, checked where it enters: a frame that the gateway cannot read would end its link, and be
 * said again on the next one. Bounds are those of docs/codecs.md; how large a whole message may be the core knows.
 */

import type { SendOptions, SubscribeOptions } from './channel.js';
import { read } from './codec/json.js';
import { type Fields, type Member, OBJECTS, table } from './codec/schema.js';
import type { Command, From, Payload, Position } from './protocol.js';

/** What is said beside a payload, and where a subscription may begin, written as the tables of codec/schema.ts. */
const SAID = /* @__PURE__ */ table(`subscribe channel:c presence:f token?:t8192
send channel:c name?:t200 id?:t64 meta?:m
volatile channel:c name?:t200
auth token?:t8192
from last?:i position?:position`);

/** The rules of its kinds, for a person. */
const RULES: Readonly<Record<string, string>> = {
  c: '1 to 200 of a-z A-Z 0-9 . _ ~ : @ $ = -',
  f: 'true or false',
  m: 'at most 16 texts by names of a-z 0-9 -, 1024 bytes in all',
};

/** How deep a payload may be. */
const DEPTH = 128;

/** How much is quoted of what was said instead. */
const QUOTED = 64;

/** Throws a `TypeError` that gives the rule and what came, unless it is so. */
export function must(isSo: boolean, rule: string, came: unknown): asserts isSo {
  if (isSo) return;
  const text = (JSON.stringify(came) as string | undefined) ?? typeof came;
  throw new TypeError(`${rule}, not ${text.slice(0, QUOTED)}`);
}

/** What `subscribe` says. */
export function subscribeOf(channel: string, from: From, { presence = false, token }: SubscribeOptions): Command {
  return { type: 'subscribe', ...said('subscribe', { channel, from: checkFrom(from), presence, token }) };
}

/** What `send` says. */
export function sendOf(channel: string, data: unknown, { name, id, meta }: SendOptions): Command {
  return { type: 'send', ...said('send', { channel, name, id, meta }), ...payloadOf(data) };
}

/** What is said, by its line above; what is left out is not there. A credential is not quoted. */
export function said<Said extends object>(line: string, fields: Said): Defined<Said> {
  for (const member of SAID.get(line) ?? []) {
    const { name, kind, most } = member;
    const came = (fields as Fields)[name];
    const isSecret = name === 'token' && typeof came === 'string';
    must(!!taken([member], fields), `${name} is ${RULES[kind] ?? `a text of at most ${most} bytes`}`, isSecret ? '…' : came);
  }
  return own(JSON.stringify(fields)) as Defined<Said>;
}

/** With what is `undefined` left out. */
type Defined<Said> = { readonly [Name in keyof Said]: Exclude<Said[Name], undefined> };

function checkFrom(from: From): From {
  if (from === 'now') return from;
  const begin = taken(SAID.get('from'), from) ?? {};
  const isSo = Object.keys(begin).length === 1;
  must(isSo, "from is 'now', { last } or { position }", from);
  return begin as unknown as From;
}

export const isPosition = (position: unknown): position is Position => !!taken(OBJECTS.get('position'), position);

/** These members, where the codec's rules have them. */
function taken(members: readonly Member[] = [], from: unknown): Fields | undefined {
  try {
    return read(members, Object(from) as Fields);
  } catch {
    return undefined;
  }
}

/** A payload of its own, which does not change when the application's data does. Throws a `TypeError` where it is no JSON. */
export function payloadOf(data: unknown): Payload {
  if (data === undefined) return {};
  const bytes = binary(data);
  // Not its own `slice`: that of a Node `Buffer` copies nothing.
  if (bytes) return { bytes: bytes.slice() };
  const text = JSON.stringify(data) as string | undefined;
  if (text === undefined) throw new TypeError('this is no JSON');
  const payload = own(text);
  if (depth(payload) > DEPTH) throw new TypeError(`this is deeper than ${DEPTH} levels`);
  return { data: payload };
}

/** Half a surrogate pair, as a text that was cut leaves it, is no text to the gateway. Only those are escaped like this. */
function own(text: string): unknown {
  return JSON.parse(text.replace(/\\(\\|ud[89a-f]..)/g, (escape) => (escape === '\\\\' ? escape : '\ufffd')));
}

/** The bytes that an `ArrayBuffer` or a view of one holds. */
function binary(data: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}

function depth(value: unknown): number {
  if (typeof value !== 'object' || !value) return 0;
  return Object.values(value).reduce((deepest: number, inner) => Math.max(deepest, 1 + depth(inner)), 1);
}
