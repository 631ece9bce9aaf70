/**
 * What an application may say, checked where it enters: a frame that the gateway cannot read would end its link, and be
 * said again on the next one. Bounds are those of docs/codecs.md; how large a whole message may be the core knows.
 */

import type { Meta, Payload } from './protocol.js';

/** How deep a payload may be. */
const DEPTH = 128;

/** A payload of its own, which does not change when the application's data does. Throws a `TypeError` where it is no JSON. */
export function payloadOf(data: unknown): Payload {
  if (data === undefined) return {};
  if (data instanceof Uint8Array) return { bytes: data.slice() };
  const text = JSON.stringify(data) as string | undefined;
  if (text === undefined) throw new TypeError('this is no JSON');
  // Half a surrogate pair, as a text that was cut leaves it, is no text to the gateway. Only those are escaped like this.
  const payload: unknown = JSON.parse(text.replace(/\\(\\|ud[89a-f]..)/g, (escape) => (escape === '\\\\' ? escape : '\ufffd')));
  if (depth(payload) > DEPTH) throw new TypeError(`this is deeper than ${DEPTH} levels`);
  return { data: payload };
}

export function checkChannel(channel: string): string {
  if (!/^[\w.~:@$=-]{1,200}$/.test(channel)) throw new TypeError(`${channel} is no name of a channel`);
  return channel;
}

/** A text of so many bytes at most, without halves of surrogate pairs. */
export function checkText(text: string, mostBytes: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > mostBytes) throw new TypeError(`${text} has more than ${mostBytes} bytes`);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

export function checkMeta(meta: Meta): Meta {
  const entries = Object.entries(meta);
  if (entries.length > 16 || entries.some(([name]) => !/^[a-z0-9-]{1,32}$/.test(name))) throw new TypeError('meta is out of bounds');
  checkText(entries.flat().join(''), 1_024);
  return Object.fromEntries(entries.map(([name, value]) => [name, checkText(value, 1_024)]));
}

function depth(value: unknown): number {
  if (typeof value !== 'object' || !value) return 0;
  return Object.values(value).reduce((deepest: number, inner) => Math.max(deepest, 1 + depth(inner)), 1);
}
