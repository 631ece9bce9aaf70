/**
 * What sends with an idempotency key were answered: for a while the same key of the same user, or of the same session where
 * there are no users, has the same answer, and nothing is carried out again (docs/protocol.md, Send and reply).
 */

import type { Clock } from '../clock.js';
import type { ReplyError } from '../protocol.js';

/** How long an answer is kept. */
const KEPT_MS = 300_000;

export class Answers<Answer extends { readonly error?: ReplyError }> {
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly answer: Promise<Answer>; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The answer that is kept, or the one of now. */
  once(whose: string, id: string | undefined, answer: () => Promise<Answer>): Promise<Answer> {
    if (id === undefined) return answer();
    const key = JSON.stringify([whose, id]);
    const nowMs = this.#clock.now();
    const before = this.#kept.get(key);
    if (before && nowMs < before.untilMs) return before.answer;
    const kept = { answer: answer(), untilMs: nowMs + KEPT_MS };
    this.#kept.set(key, kept);
    // What may be tried again is.
    void kept.answer.then(({ error }) => error?.retryable && this.#kept.delete(key));
    return kept.answer;
  }

  /** As a gateway does that died. */
  forget(): void {
    this.#kept.clear();
  }
}
