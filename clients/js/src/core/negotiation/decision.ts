/** What negotiation says is to be done: the words between it and the conductor. */

import type { AttemptOutcome, TransportName } from '../../protocol.js';
import { GREETED, type Use, reach } from './use.js';

export type Decision =
  /** Open a link to carry the session: its hello attaches. A poll beside a link that works is kept beside it until it is answered. */
  | { readonly do: 'carry'; readonly transport: TransportName }
  /** Open a link beside the one that works, or will: its hello does not attach. */
  | { readonly do: 'probe'; readonly transport: TransportName }
  /** Say hello on a link whose handshake is done. */
  | { readonly do: 'greet'; readonly link: number; readonly attach: boolean }
  /** Give a link up, which ended like this. */
  | { readonly do: 'drop'; readonly link: number; readonly outcome: AttemptOutcome };

/** Says hello on a link: it has come that far. */
export function greet(nowMs: number, used: Use, attach: boolean): Decision {
  reach(used, GREETED, nowMs);
  used.carries = attach;
  return { do: 'greet', link: used.link, attach };
}

export function drop({ link }: Use, outcome: AttemptOutcome): Decision {
  return { do: 'drop', link, outcome };
}
