/**
 * What an application may say, checked where it enters: a frame that the gateway cannot read would end its link, and be
 * said again on the next one. Bounds are those of docs/codecs.md; how large a whole message may be the core knows.
 */

import type { SendOptions, SubscribeOptions } from './channel.js';
import { meta, scalar } from './codec/schema.js';
import { bytesOf, textOf } from './codec/text.js';
import type { Command, From, Meta, Payload, Position } from './protocol.js';

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
  must(is('f', presence), 'presence is true or false', presence);
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
  const bytes = binary(data);
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
function binary(data: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : undefined;
}

export function checkChannel(channel: string): string {
  must(is('c', channel), 'a channel is 1 to 200 of a-z A-Z 0-9 . _ ~ : @ $ = -', channel);
  return channel;
}

/** Where to begin, which does not change when the application's object does. */
function checkFrom(from: From): From {
  if (from === 'now') return from;
  const { last, position } = from as { readonly last?: number; readonly position?: Position };
  const isSo = is('i', last) ? position === undefined : last === undefined && isPosition(position);
  must(isSo, "from is 'now', { last } or { position: { epoch, offset } } of whole numbers", from);
  return position ? { position: { epoch: position.epoch, offset: position.offset } } : { last: last as number };
}

export function isPosition(position: unknown): position is Position {
  const { epoch, offset } = Object(position) as Partial<Position>;
  return is('e', epoch) && is('i', offset);
}

/** A text of so many bytes at most. `what` it is; a credential is not quoted. */
export function checkText(what: string, text: string, mostBytes: number): string {
  const isSecret = what === 'token' && typeof text === 'string';
  must(is('t', text, mostBytes), `${what} is a text of at most ${mostBytes} bytes`, isSecret ? '…' : text);
  return whole(text);
}

function checkMeta(said: Meta): Meta {
  const isSo = typeof said === 'object' && holds(() => meta(Object.entries(said)));
  must(isSo, 'meta is at most 16 texts by names of a-z 0-9 -, 1024 bytes in all', said);
  return Object.fromEntries(Object.entries(said).map(([name, value]) => [name, whole(value)]));
}

/** Whether the codec's rules have it for one of this kind. */
const is = (kind: string, value: unknown, most = 0): boolean => holds(() => scalar({ name: '', mark: '', kind, most, list: 0 }, value));

function holds(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}

/** Without halves of surrogate pairs. */
const whole = (text: string): string => textOf(bytesOf(text));

function depth(value: unknown): number {
  if (typeof value !== 'object' || !value) return 0;
  return Object.values(value).reduce((deepest: number, inner) => Math.max(deepest, 1 + depth(inner)), 1);
}
