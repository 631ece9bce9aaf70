/** The golden messages of the repository, read as they are. */

import { readFileSync } from 'node:fs';

import type { UpFrame } from '../../src/protocol.js';

export interface Vector {
  readonly name: string;
  readonly direction: 'up' | 'down';
  readonly text?: string;
  readonly textHex?: string;
  readonly binary?: string;
  readonly means?: string;
  readonly error?: string;
  readonly before?: string;
  readonly limits?: object;
}

/** The vectors of a file whose messages go this way. */
export function vectors(file: string, direction: Vector['direction']): readonly Vector[] {
  const { href } = new URL(`../../../../tests/vectors/${file}.json`, import.meta.url);
  const { vectors } = JSON.parse(readFileSync(new URL(href), 'utf8')) as { vectors: Vector[] };
  const found = vectors.filter((vector) => vector.direction === direction);
  if (found.length === 0) throw new Error(`${file} has nothing that goes ${direction}`);
  return found;
}

export const unhex = (hex: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(hex, 'hex'));

export const isText = ({ binary }: Vector): boolean => binary === undefined;

/** The frames of a canonical message up, with bytes where the wire has base64. */
export function framesOf(text: string): UpFrame[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const frame = withBytes(JSON.parse(line) as Said);
    return (frame.items ? { ...frame, items: frame.items.map(withBytes) } : frame) as unknown as UpFrame;
  });
}

interface Said {
  readonly bytes?: string;
  readonly items?: readonly Said[];
}

const withBytes = (said: Said): Said => {
  const { bytes } = said;
  return bytes === undefined ? said : ({ ...said, bytes: Buffer.from(bytes, 'base64') } as unknown as Said);
};
