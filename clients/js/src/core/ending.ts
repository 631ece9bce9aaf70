/** How links and sessions are lost, and when to come back. */

import { type End, whyOf } from '../end.js';
import type { AttemptOutcome, Subscribe } from '../protocol.js';
import { LONGEST_MS, leastWaitMs, nextWaitMs } from './backoff.js';
import { type Conversation, isOver, plan, say, stand, tell } from './conversation.js';
import { confirm, refuse } from './down.js';
import { forgetAsked, type Link } from './link.js';
import { dropLink, dropProbes, NO_LINK, REBUILT, UNPROVEN } from './opening.js';
import { handlePosted, postAlone } from './post.js';
import { askForLife, LATE_POLLS, pollAgain } from './up.js';

/** A link that achieved nothing and was gone again within this counts as an attempt that failed. */
const SHORT_LIFE_MS = 1_000;

/** A link that was there for this long was worth being sent away for. */
const LASTING_MS = 30_000;

/** How much later than it asked for a page may be woken before that says something about the page. */
const LATE_MS = 3_000;

export const CLOSED = 'the session is closed';

/** How the use of a transport went that ended like this. */
function outcomeOf(end: End, { greeted, isPolling }: Link): AttemptOutcome {
  if (end.kind === 'failed') return end.outcome;
  if (end.kind === 'closed' && end.code >= 4000 && end.code < 4400) return 'drained';
  return end.kind !== 'refused' && (greeted || isPolling) ? 'lost' : 'refused';
}

/** A link has ended. */
export function handleEnded(c: Conversation, link: Link, end: End): void {
  if (c.standing === 'closing') {
    c.links.delete(link.key);
    if (c.active === link) stop(c, undefined);
    return;
  }
  const outcome = outcomeOf(end, link);
  const reason = whyOf(end);
  const retryMs = end.kind === 'refused' ? end.retryAfterMs : undefined;
  if (!bears(c, link)) {
    linkFailed(c, link, outcome, reason, retryMs);
    // L7: superseded, so the gateway has taken the newer attach.
    if (end.kind === 'closed' && end.code === 4300 && c.active) confirm(c, c.active, true);
    return;
  }
  if (outcome !== 'drained') c.negotiation.ended(c.now, link.key, outcome, reason);
  if (end.kind === 'refused' && (end.status === 401 || end.status === 403)) lacksCookies(c, link);
  // The advice that followed a fatal error has been taken by now, if there was any.
  if (link.fault) return comeBack(c, link, link.fault);
  if (end.kind === 'protocol') return protocolError(c, link, reason);
  if (end.kind === 'closed') return closed(c, link, end.code, reason);
  comeBack(c, link, reason, retryMs);
}

/** A close code speaks where no `retry` did; an unknown one is read by its range. */
function closed(c: Conversation, link: Link, code: number, reason: string): void {
  const isNewest = link.attach === c.attach;
  if (code === 1002 || code === 1003 || code === 1007) return refused(c, link, reason, undefined);
  if (code >= 4200 && code < 4300) return needCredentials(c);
  if (code > 4300 && code < 4400) return stop(c, reason);
  if (code === 1009) refuse(c, undefined, { code: 'message_too_large', message: reason });
  c.positionsWanted ||= code === 4003;
  if (code >= 4100 && code < 4200) loseSession(c, link, 'gone');
  if (code === 4300 && isNewest) loseSession(c, link, 'superseded');
  comeBack(c, link, reason);
}

/**
 * Whether a refusal is of a poll that went without cookies. Then it says nothing of the session, however final: the link is lost,
 * and cookies go along from now on.
 */
export function lacksCookies(c: Conversation, { isBare }: Link): boolean {
  c.keepsCookies ||= !!isBare;
  return !!isBare;
}

/** The gateway says that this client breaks the protocol: once more on another transport, then never again. */
export function refused(c: Conversation, link: Link, reason: string, waitMs: number | undefined): void {
  if (++c.refusals > 1) return stop(c, 'protocol_error');
  c.negotiation.turn();
  comeBack(c, link, reason, waitMs);
}

/** Whether the session is on this link, or is about to be: its end is one of the session's, and not of the link alone. */
export const bears = (c: Conversation, link: Link): boolean => c.active === link || (!c.active && link.carries);

/** A link that does not carry the session has failed; its transport is left alone for as long as the gateway said. */
export function linkFailed(c: Conversation, link: Link, outcome: AttemptOutcome, reason: string, waitMs?: number): void {
  c.negotiation.ended(c.now, link.key, outcome, reason);
  if (waitMs !== undefined) c.negotiation.leaveAlone(link.transport, c.now + waitMs);
  dropLink(c, link, UNPROVEN);
}

const REASONS: Partial<Record<AttemptOutcome, string>> = {
  late: 'another was faster',
  blocked: 'nothing came back',
  hung: 'its handshake was not answered',
  buffered: 'it was welcomed, and nothing more came',
};

/** Gives a link up that took too long. */
export function giveUp(c: Conversation, link: Link, outcome: AttemptOutcome): void {
  const reason = REASONS[outcome] ?? 'what was due did not come';
  if (c.active !== link) return linkFailed(c, link, outcome, reason);
  c.negotiation.ended(c.now, link.key, outcome, reason);
  comeBack(c, link, reason);
}

/** A link that does not do what it should. */
export function fail(c: Conversation, link: Link, reason: string): void {
  handleEnded(c, link, { kind: 'lost', reason });
}

/** The gateway broke the protocol: the link ends, and its successor is in no hurry. */
export function protocolError(c: Conversation, link: Link, reason: string): void {
  c.strikes++;
  comeBack(c, link, reason);
}

/** The gateway's count of commands or items cannot be this client's. */
export function mismatch(c: Conversation, link: Link): void {
  loseSession(c, link, 'mismatch');
  protocolError(c, link, 'counts that do not fit');
}

/** Ends a link; if no other carries the session, comes back after `waitMs`, or as the guidance says. */
export function comeBack(c: Conversation, link: Link, reason: string, waitMs?: number): void {
  const { negotiation, now } = c;
  const isNeeded = bears(c, link);
  if (!c.links.has(link.key)) return;
  // What the gateway had something to say about did not fail.
  negotiation.ended(now, link.key, waitMs === undefined ? 'lost' : 'drained', reason);
  dropLink(c, link, UNPROVEN);
  if (!isNeeded) return;
  c.ackAtMs = Infinity;
  // The link before, where it is still there, goes on.
  const [before] = [...c.links.values()].filter(({ attached }) => attached).sort((a, b) => b.attach - a.attach);
  if (before) return fallBack(c, before);
  // What the gateway said counts all the same where another way in is being tried beside this one.
  if (waitMs !== undefined) c.notBeforeMs = Math.max(c.notBeforeMs, now + waitMs);
  const isAdvised = waitMs !== undefined || c.notBeforeMs > now;
  c.reason = reason;
  if (negotiation.goesOn(isAdvised, (key) => c.links.has(key))) return stand(c, 'opening');
  if (!link.confirmed && waitMs === undefined) negotiation.turn();
  const livedMs = now - link.sinceMs;
  if (link.useful || livedMs >= SHORT_LIFE_MS) c.strikes = 0;
  else if (link.confirmed) c.strikes++;
  if (livedMs >= LASTING_MS) c.sentAway = 0;
  if (waitMs !== undefined) waitMs = Math.max(waitMs, leastWaitMs(++c.sentAway, c.options.random));
  rest(c, isAdvised, c.strikes, waitMs === undefined ? undefined : now + waitMs);
}

/** Waits for the next attempt where nobody is left that could open the session, however that came about. */
export function waitIfAlone(c: Conversation): void {
  const isAdvised = c.notBeforeMs > c.now;
  if (c.standing !== 'opening' || c.active || c.negotiation.goesOn(isAdvised, (key) => c.links.has(key))) return;
  c.negotiation.turn();
  rest(c, isAdvised, 0, undefined);
}

/** No link is left: the next attempt is as late as the gateway or the formula says. */
function rest(c: Conversation, isAdvised: boolean, strikes: number, adviceMs: number | undefined): void {
  c.negotiation.rest();
  c.advised = isAdvised;
  dropProbes(c, NO_LINK);
  plan(c, undefined, NO_LINK);
  const attempt = ++c.attempts + strikes;
  const unadvisedMs = c.now + nextWaitMs(c.guidance, attempt, c.now - c.attemptedMs, c.options.random);
  stand(c, 'waiting', Math.max(adviceMs ?? unadvisedMs, c.notBeforeMs));
}

/** N4: ends this link and attaches again at once, with fresh state. */
export function attachAfresh(c: Conversation, link: Link): void {
  if (link.isPolling) {
    link.retrying = link.attached = true;
    c.active = link;
    return;
  }
  if (c.active === link) c.active = undefined;
  comeBack(c, link, REBUILT, 0);
}

/** An older link carries the session again: what the newer one was told counts for nothing (L5). */
function fallBack(c: Conversation, link: Link): void {
  link.said = c.outbox.taken;
  c.active = link;
  stand(c, 'up');
  c.negotiation.fellBack(link.key);
  blameSilence(c, link);
}

/** A link that was asked for a sign of life, and gave none, is late. On another network it says nothing of the gateway. */
function blameSilence(c: Conversation, link: Link): void {
  const { negotiation, options, guidance } = c;
  if (link.pingedMs + negotiation.pace.patience(options.timing) > c.now) return;
  negotiation.overdue(link.key, link.moved ? 0 : Math.min(guidance.windowMs, LONGEST_MS));
}

/**
 * The session is lost, as this link says, or none; its successor is subscribed where it was: the gateway has `isTakenUp` the stated
 * positions, or is asked to (C6). `user` is whose the successor is, where that is known.
 */
export function loseSession(c: Conversation, link: Link | undefined, reason: string, isTakenUp = false, user?: string): void {
  // All other links are of the lost session.
  for (const other of c.links.values()) if (other !== link) dropLink(c, other, NO_LINK);
  const isAuthenticated = c.known?.user !== undefined && (user ?? c.known.user) === c.known.user;
  c.known = undefined;
  c.positionsWanted = false;
  c.inbox.beginAnew();
  const renewals = [...(isTakenUp ? [] : c.inbox.positions)].map(
    ([channel, position]): Subscribe => ({ type: 'subscribe', ...c.wishes.get(channel), channel, from: { position } }),
  );
  for (const owner of c.outbox.beginAnew(c.now, renewals, isAuthenticated)) tell(c, owner, { kind: 'unknown' });
  c.inbox.note({ hear: 'lost', reason, isFinal: false });
}

export function needCredentials(c: Conversation): void {
  dropAll(c);
  c.reason = 'unauthorized';
  stand(c, 'unauthorized');
}

/** Ends every link, and what was about to come of them. */
export function dropAll(c: Conversation): void {
  c.negotiation.rest();
  for (const link of c.links.values()) dropLink(c, link, CLOSED);
  c.ackAtMs = Infinity;
  plan(c, undefined, CLOSED);
}

/** Over, for good: for this reason, or because the application said so. */
export function stop(c: Conversation, reason: string | undefined): void {
  dropAll(c);
  for (const { owner, isUnknown } of c.outbox.abandon()) tell(c, owner, { kind: isUnknown ? 'unknown' : 'closed' });
  if (reason !== undefined) c.inbox.note({ hear: 'lost', reason, isFinal: true });
  c.reason = reason ?? 'closed';
  c.standing = 'closed';
}

/** Ends the session. */
export function close(c: Conversation): void {
  if (isOver(c)) return;
  const link = c.active;
  if (!link) return stop(c, undefined);
  if (link.isDuplex) {
    say(c, link, [{ type: 'bye' }]);
    c.outputs.push({ do: 'close', link: link.key, inPeace: true });
  } else if (link.isPolling) {
    // A post could not name the link: only a poll's own answer does. So the goodbye comes behind a poll.
    pollAgain(c, link, { type: 'bye' });
  } else postAlone(c, link, { type: 'bye' });
  c.reason = 'closed';
  stand(c, 'closing', c.now + c.options.timing.goodbyeMs);
}

/** Gives up what took too long. */
export function expire(c: Conversation): void {
  if (c.standing === 'closing' && c.untilMs <= c.now) return stop(c, undefined);
  if (isOver(c)) return;
  if (c.now - c.dueMs > LATE_MS) wake(c, c.now - c.dueMs);
  for (const link of c.links.values()) {
    const { poll, post } = link;
    if (link.untilMs <= c.now) {
      fail(c, link, 'silent');
      continue;
    }
    if (link === c.active) blameSilence(c, link);
    if (poll && poll.untilMs <= c.now) {
      link.poll = undefined;
      if (++link.latePolls >= LATE_POLLS || !link.confirmed) {
        fail(c, link, 'polls are not answered');
        continue;
      }
    }
    if (post && post.untilMs <= c.now) handlePosted(c, link, post.id, 'no answer');
  }
}

/**
 * This page was woken so much later than it asked for: it slept, or its timers are throttled. What was due meanwhile may
 * have come and not have been read, so nobody is blamed, and nobody hedged: the link is asked for a sign of life. Where it
 * gave none until the page is woken so once more, it is late as ever.
 */
function wake(c: Conversation, lateMs: number): void {
  for (const link of c.links.values()) {
    if (!link.attached && !link.carries) {
      linkFailed(c, link, 'late', 'the page slept meanwhile');
      continue;
    }
    if (link.wakes++ && (link.poll ?? link.pingedMs < Infinity)) continue;
    link.untilMs += lateMs;
    link.pingedMs = Infinity;
    forgetAsked(link);
    if (link.post) link.post.untilMs += lateMs;
    if (link.poll) {
      link.poll.sinceMs += lateMs;
      link.poll.untilMs += lateMs;
    }
    if (link === c.active && link.heardMs < c.now) {
      link.heardMs = Math.min(c.now, link.heardMs + lateMs);
      askForLife(c);
    }
  }
}
