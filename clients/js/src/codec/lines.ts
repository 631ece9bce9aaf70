/** Frames of the text codec on a stream that knows no messages: each ends with LF. For WebTransport alone. */

import type { Codec, Splitter } from './codec.js';
import { reading } from './fault.js';
import { Pieces } from './pieces.js';

/** A splitter of lines, each of which this codec reads. */
export function lines(codec: Codec): Splitter {
  const pieces = new Pieces();
  return {
    push(bytes) {
      const end = bytes.lastIndexOf(LF);
      const decoded = end < 0 ? { frames: [] } : codec.decode(pieces.take(bytes.subarray(0, end)));
      if (decoded.fault) return decoded;
      const { fault } = reading(() => pieces.add(bytes.subarray(end + 1)));
      return fault ? { ...decoded, fault } : decoded;
    },
  };
}

const LF = 10;
