/** What is wrong with a message, and how reading goes on until something is. Internal to codecs. */

import type { DownFrame } from '../protocol.js';
import type { Decoded } from './codec.js';

/** An error with a code of docs/protocol.md. */
interface Fault extends Error {
  code?: string;
}

/** Ends the reading of a message. */
export function fail(code: string, what = ''): never {
  const fault: Fault = new Error(`${code} ${what.slice(0, 64)}`);
  fault.code = code;
  throw fault;
}

/** Reads frames into a list for as long as there is nothing wrong. */
export function reading(read: (frames: DownFrame[]) => void): Decoded {
  const frames: DownFrame[] = [];
  try {
    read(frames);
    return { frames };
  } catch (error) {
    // What the platform's parser throws is a frame that is not JSON.
    // Its words quote what was sent, and that may be a token.
    const { code, message } = error as Fault;
    return { frames, fault: code === undefined ? { code: MALFORMED, message: MALFORMED } : { code, message } };
  }
}

export const MALFORMED = 'malformed_frame';
export const TOO_LARGE = 'message_too_large';
