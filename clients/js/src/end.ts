/** How a link ends: the word that transports have for the session. */

import type { AttemptOutcome } from './protocol.js';

/** How a link ended. */
export type End =
  /** It broke, or just ended. */
  | { readonly kind: 'lost'; readonly reason: string }
  /** It could not be opened: how far it came, and why no further, for a person. */
  | { readonly kind: 'failed'; readonly outcome: AttemptOutcome; readonly reason: string }
  /** The gateway closed it with this code. */
  | { readonly kind: 'closed'; readonly code: number }
  /** It was refused with this HTTP status, and when to come back where that was said. */
  | { readonly kind: 'refused'; readonly status: number; readonly retryAfterMs?: number }
  /** What came could not be read. */
  | { readonly kind: 'protocol'; readonly reason: string };

/** Why a link ended, for a person. */
export function whyOf(end: End): string {
  if ('reason' in end) return end.reason;
  return end.kind === 'refused' ? `refused with status ${end.status}` : `closed with code ${end.code}`;
}
