/** Reports of a link: none after it has ended, or after it was closed. */

import type { LinkEvents } from './transport.js';

export interface Reports {
  readonly isOver: boolean;
  tell<K extends keyof LinkEvents>(what: K, ...about: Parameters<LinkEvents[K]>): void;
  /** Nobody listens any more. */
  stop(): void;
}

export function reports(events: LinkEvents): Reports {
  let isOver = false;
  return {
    get isOver() {
      return isOver;
    },
    tell(what, ...about) {
      if (isOver) return;
      isOver = what === 'ended';
      (events[what] as (...about: readonly unknown[]) => void)(...about);
    },
    stop() {
      isOver = true;
    },
  };
}
