/**
 * What can go wrong, one class each. Every `code` is a stable text: the gateway's (docs/protocol.md, Error codes), the
 * application's own, or one of those below. A lost connection is none of them: the session comes back by itself.
 */

import type { Outcome } from './core/output.js';
import type { ReplyError } from './protocol.js';

/** What all of them are. */
export class ThroughlineError extends Error {
  override readonly name: string = 'ThroughlineError';
  /** Which one it is, for a program. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The gateway or the application said no. Nothing was carried out. */
export class Rejected extends ThroughlineError {
  override readonly name = 'Rejected';
  /** Whether the same may succeed later, unchanged. */
  readonly retryable: boolean;

  constructor({ code, message, retryable }: ReplyError) {
    super(code, message);
    this.retryable = retryable;
  }
}

/**
 * It was sent, and its session was lost before the reply came (C6): it was carried out, or it was not. Where that
 * matters, send with an `id`, and send again with the same one.
 */
export class OutcomeUnknown extends ThroughlineError {
  override readonly name = 'OutcomeUnknown';

  constructor() {
    super('outcome_unknown', 'the session was lost before the reply came');
  }
}

/** The session is over, for good: closed by the application, or by the gateway with this reason. */
export class SessionClosed extends ThroughlineError {
  override readonly name = 'SessionClosed';
  /** `closed`, or the gateway's word (`disconnected`, `forbidden`, …). */
  readonly reason: string;

  constructor(reason: string) {
    super('session_closed', `the session is closed: ${reason}`);
    this.reason = reason;
  }
}

/** The session stayed on the transport that it has; the message says why. */
export class NotMigrated extends ThroughlineError {
  override readonly name = 'NotMigrated';

  constructor(reason: string) {
    super('not_migrated', reason);
  }
}

/** What a bad outcome is told as; `reason` is why the session is closed, if it is. */
export function errorOf(outcome: Outcome, reason: string): ThroughlineError {
  switch (outcome.kind) {
    case 'rejected':
      return new Rejected(outcome.error);
    case 'unknown':
      return new OutcomeUnknown();
    case 'stayed':
      return new NotMigrated(outcome.reason);
    default:
      return new SessionClosed(reason);
  }
}
