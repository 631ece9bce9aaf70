/** Text, UTF-8 and JSON, as docs/codecs.md has them, as far as the platform lets one see. Internal to codecs. */

import { fail } from './fault.js';

/** The largest frame that is taken (docs/codecs.md, Sizes). */
export const FRAME_BYTES = 1 << 20;

const utf8 = /* @__PURE__ */ new TextEncoder();
const strict = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const bytesOf = (text: string): Uint8Array<ArrayBuffer> => utf8.encode(text);

export function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    fail('not_utf8');
  }
}

/** Whether a text has at most so many bytes. Most are so short that nobody counts. */
export const fits = (text: string, most: number): boolean => text.length * 3 <= most || bytesOf(text).length <= most;

/** A JSON value. Half of a surrogate pair can only come as an escape, and is written as one. */
export function parse(json: string): unknown {
  const value: unknown = JSON.parse(json);
  if (hasHalf.test(json) && hasHalf.test(JSON.stringify(value))) fail('lone_surrogate');
  return value;
}

const hasHalf = /(^|[^\\])(\\\\)*\\ud[89a-f]/i;

export function base64Of(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export const fromBase64 = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
