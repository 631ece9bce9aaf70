/** The same frame, its members the other way round; payloads are left as they are. */

import type { UpFrame } from '../../src/protocol.js';

export const shuffled = (frame: UpFrame): UpFrame => reversed(frame) as UpFrame;

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([name, value]) => [name, name === 'data' ? value : reversed(value)]));
}
