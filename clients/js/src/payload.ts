/**
 * What an application may say, checked where it enters: a frame that the gateway cannot read would end its link, and be
 * said again on the next one. Bounds are those of docs/codecs.md; how large a whole message may be the core knows.
 */

import type { SendOptions, SubscribeOptions } from './channel.js';
import type { Command, From, Meta, Payload, Position } from './protocol.js';

/** How deep a payload may be. */
const DEPTH = 128;

/** How much is quoted of what was said instead. */
const QUOTED = 64;

/** Throws a `TypeError` that gives the rule and what came, unless it is so. */
export function must(isSo: boolean, rule: string, came: unknown): asserts isSo {
  if (isSo) return;
  const text = (JSON.stringify(came) as string | undefined) ?? typeof came;
  throw new TypeError(`${rule}, not ${text.length > QUOTED ? `${text.slice(0, QUOTED)}…` : text}`);
}

/** What `subscribe` says. */
export function subscribeOf(channel: string, from: From, { presence = false, token }: SubscribeOptions): Command {
  must(typeof presence === 'boolean', 'presence is true or false', presence);
  return {
    type: 'subscribe',
    channel: checkChannel(channel),
    from: checkFrom(from),
    presence,
    ...(token !== undefined && { token: checkText('token', token, 8_192) }),
  };
}

/** What `send` says. */
export function sendOf(channel: string, data: unknown, { name, id, meta }: SendOptions): Command {
  return {
    type: 'send',
    channel: checkChannel(channel),
    ...(name !== undefined && { name: checkText('name', name, 200) }),
    ...(id !== undefined && { id: checkText('id', id, 64) }),
    ...(meta !== undefined && { meta: checkMeta(meta) }),
    ...payloadOf(data),
  };
}

/** A payload of its own, which does not change when the application's data does. Throws a `TypeError` where it is no JSON. */
export function payloadOf(data: unknown): Payload {
  if (data === undefined) return {};
  const bytes = bytesOf(data);
  // Not its own `slice`: that of a Node `Buffer` copies nothing.
  if (bytes) return { bytes: bytes.slice() };
  const text = JSON.stringify(data) as string | undefined;
  if (text === undefined) throw new TypeError('this is no JSON');
  // Half a surrogate pair, as a text that was cut leaves it, is no text to the gateway. Only those are escaped like this.
  const payload: unknown = JSON.parse(text.replace(/\\(\\|ud[89a-f]..)/g, (escape) => (escape === '\\\\' ? escape : '\ufffd')));
  if (depth(payload) > DEPTH) throw new TypeError(`this is deeper than ${DEPTH} levels`);
  return { data: payload };
}

/** The bytes that an `ArrayBuffer` or a view of one holds. */
function bytesOf(data: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}

export function checkChannel(channel: string): string {
  const isName = typeof channel === 'string' && /^[\w.~:@$=-]{1,200}$/.test(channel);
  must(isName, 'a channel is 1 to 200 of A-Z a-z 0-9 . _ ~ : @ $ = -', channel);
  return channel;
}

/** Where to begin, which does not change when the application's object does. */
function checkFrom(from: From): From {
  if (from === 'now') return from;
  const { last, position } = from as { readonly last?: number; readonly position?: Position };
  const isSo = isCount(last) ? position === undefined : last === undefined && isPosition(position);
  must(isSo, "from is 'now', { last } or { position: { epoch, offset } }, with whole numbers from 0", from);
  return position ? { position: { epoch: position.epoch, offset: position.offset } } : { last: last as number };
}

export function isPosition(position: unknown): position is Position {
  const { epoch, offset } = Object(position) as Partial<Position>;
  return typeof epoch === 'string' && /^[!-~]{1,32}$/.test(epoch) && isCount(offset);
}

/** A text of so many bytes at most, without halves of surrogate pairs. `what` it is; a credential is not quoted. */
export function checkText(what: string, text: string, mostBytes: number): string {
  const isText = typeof text === 'string';
  const bytes = new TextEncoder().encode(text);
  must(isText && bytes.length <= mostBytes, `${what} is a text of at most ${mostBytes} bytes`, isText && what === 'token' ? '…' : text);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function checkMeta(meta: Meta): Meta {
  const entries = Object.entries(meta);
  const isNamed = entries.length <= 16 && entries.every(([name]) => /^[a-z0-9-]{1,32}$/.test(name));
  must(isNamed && typeof meta === 'object', 'meta is at most 16 texts with names of a-z 0-9 -', meta);
  const texts = entries.map(([name, value]) => [name, checkText(`meta.${name}`, value, 1_024)] as const);
  checkText('all of meta', entries.flat().join(''), 1_024);
  return Object.fromEntries(texts);
}

function isCount(number: unknown): boolean {
  return Number.isSafeInteger(number) && (number as number) >= 0;
}

function depth(value: unknown): number {
  if (typeof value !== 'object' || !value) return 0;
  return Object.values(value).reduce((deepest: number, inner) => Math.max(deepest, 1 + depth(inner)), 1);
}
