/**
 * What a codec is: messages to bytes and back. The core brings the text codec; the binary one is
 * `throughline-client/bincode`.
 *
 * Reading checks what comes from the network (docs/codecs.md) and never throws: the frames before a fault stand, the
 * fault has its name.
 */

import type { DownFrame, UpFrame } from '../protocol.js';

/** What was read: frames, and the fault that ended it, if one did. */
export interface Decoded {
  readonly frames: readonly DownFrame[];
  readonly fault?: { readonly code: string; readonly message: string };
}

export interface Codec {
  /** Its WebSocket subprotocol and WebTransport protocol. */
  readonly name: 'throughline.v1.json' | 'throughline.v1.bincode';
  /** What an HTTP body of it is. Text goes as `text/plain`, which needs no preflight. */
  readonly mediaType: string;
  /** A message: text for the text codec, bytes for the binary one. */
  encode(frames: readonly UpFrame[]): string | Uint8Array<ArrayBuffer>;
  decode(message: string | Uint8Array): Decoded;
  /** Finds the frames in a stream that may be cut anywhere (WebTransport); absent where each frame is a line. */
  readonly splitter?: () => Splitter;
}

export interface Splitter {
  /** Takes the next bytes; what is complete comes out. After a fault it is not asked again. */
  push(bytes: Uint8Array): Decoded;
}
