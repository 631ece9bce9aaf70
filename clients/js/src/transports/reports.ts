/** Reports of a link: none after it has ended, or after it was closed. */

import type { Decoded } from '../codec/codec.js';
import type { End, LinkEvents } from './transport.js';

export interface Reports {
  readonly isOver: boolean;
  /** Returns whether somebody listened. */
  tell<K extends keyof LinkEvents>(what: K, ...about: Parameters<LinkEvents[K]>): boolean;
  /** Tells what came down a stream; gives how that ends the link, if it does. */
  heard(decoded: Decoded): End | undefined;
  /** Nobody listens any more, but to the end where it is closed in peace. */
  stop(inPeace: boolean): void;
}

export function reports(events: LinkEvents): Reports {
  let isOver = false;
  let isAwaited = false;
  const tell: Reports['tell'] = (what, ...about) => {
    const isEnd = what === 'ended';
    if (isOver && !(isEnd && isAwaited)) return false;
    isOver ||= isEnd;
    isAwaited = false;
    (events[what] as (...about: readonly unknown[]) => void)(...about);
    return true;
  };
  return {
    get isOver() {
      return isOver;
    },
    tell,
    heard({ frames, fault }) {
      // Bytes that complete no frame are a sign of life too.
      if (frames.length > 0) tell('received', frames);
      else tell('alive');
      return fault && { kind: 'protocol', reason: fault.message };
    },
    stop(inPeace) {
      isAwaited = inPeace && !isOver;
      isOver = true;
    },
  };
}
