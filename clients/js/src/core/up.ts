/** What is said, and when: polls, commands, acknowledgements, signs of life. What goes up by requests of its own is in `post`. */

import type { UpFrame } from '../protocol.js';
import { type Conversation, say } from './conversation.js';
import type { Link } from './link.js';
import { greeting } from './opening.js';
import { lengthOf } from './outbox.js';
import { comesBackBy, post, postDue } from './post.js';

/** Room that a message leaves for what is around its frames. */
const FRAMING_BYTES = 128;

/** Polls in a row that may fail before their link is given up. */
export const LATE_POLLS = 2;

/** How many connections a browser keeps to one origin, by HTTP/1.1. */
const KEPT_CONNECTIONS = 6;

/** Says what there is to say. */
export function speak(c: Conversation): void {
  const link = c.active;
  if (!link) return;
  if (link.isPolling) {
    if (pollDue(c, link) <= c.now) {
      // A hedge that is said again goes the other way, unless it is by its cookies that the gateway knows whose it is.
      const isAgain = link.poll ? !link.confirmed : link.latePolls;
      if (isAgain) link.isBare = !link.isBare && !c.keepsCookies && (c.auth !== undefined || c.known?.user === undefined);
      pollAgain(c, link);
    }
  } else if (doubtAt(c, link) <= c.now) {
    // Something is due and nothing is heard.
    link.doubts++;
    askForLife(c);
  }
  if (link.isDuplex) transmit(c, link);
  else post(c, link);
}

/** How many bytes of commands a message may hold beside these frames. */
export function budget({ limits }: Conversation, message: object): number {
  return limits.messageBytes - FRAMING_BYTES - lengthOf(message);
}

/** Says commands and an acknowledgement on a duplex link, and how transports did, once it is known that it listens. */
function transmit(c: Conversation, link: Link): void {
  const { inbox, outbox, limits, negotiation } = c;
  const { taken } = inbox;
  // An acknowledgement travels with commands for nothing.
  let acks = ackAt(c, link) <= c.now || (taken > link.acked && outbox.hasRun(link.said, limits.commandsAhead));
  if (acks) {
    link.acked = taken;
    link.ackedBytes = inbox.bytes;
    c.ackAtMs = Infinity;
  }
  for (;;) {
    const run = outbox.run(c.now, link.said, limits.commandsAhead, budget(c, {}));
    if (!run) break;
    link.said += run.items.length;
    say(c, link, [acks ? { ...run, ack: taken } : run]);
    acks = false;
  }
  if (acks) say(c, link, [{ type: 'ack', upTo: taken }]);
  if (link.confirmed && negotiation.history.hasUntold) say(c, link, negotiation.history.tell(c.now));
}

/**
 * When an acknowledgement is due on a stream: now, at half the window, or some time after the first item.
 *
 * L5: what was acknowledged on another link does not count.
 */
export function ackAt(c: Conversation, link: Link): number {
  const { inbox, limits } = c;
  const count = inbox.taken - link.acked;
  const isHalf = count >= limits.unacknowledgedItems / 2 || inbox.bytes - link.ackedBytes >= limits.unacknowledgedBytes / 2;
  return (c.ackAtMs = count > 0 ? Math.min(c.ackAtMs, c.now + (isHalf ? 0 : c.options.timing.ackDelayMs)) : Infinity);
}

/** Asks the link that carries the session for a sign of life; a poll that is parked gives none but by another. */
export function askForLife(c: Conversation): void {
  const link = c.active;
  if (!link?.attached) return;
  if (link.isPolling) {
    if (link.poll) pollAgain(c, link);
    return;
  }
  link.pingedMs = c.now;
  link.askedMs = Math.min(link.askedMs, c.now);
  if (link.isDuplex) say(c, link, [{ type: 'ping' }]);
  else link.pings = true;
}

/** When a stream is asked for a sign of life. */
function doubtAt({ negotiation, options, outbox, heartbeatMs }: Conversation, link: Link): number {
  if (link.pingedMs < Infinity || !link.attached) return Infinity;
  const lateMs = negotiation.pace.late(options.timing);
  // What went up may have arrived though nothing comes down any more: what is missing is the reply. A handler may take its
  // time over it, so a link that answers is asked less and less often.
  const replyMs = Math.max(outbox.unrepliedSinceMs, link.heardMs) + lateMs * 2 ** Math.min(link.doubts, 5);
  return Math.min(replyMs, link.heardMs + heartbeatMs + lateMs);
}

/** When the next poll goes out: at once if none is out, or where one is late with a reply. */
function pollDue(c: Conversation, link: Link): number {
  const { negotiation, outbox, inbox, isHidden, heartbeatMs } = c;
  const { timing } = c.options;
  const { poll, heardMs, pollNotBeforeMs } = link;
  const awaitsReplies = outbox.unrepliedSinceMs < Infinity;
  if (poll) {
    // A parked poll may be dead while posts get through: another costs little, and fences nothing but it. Each waits
    // longer, or an answer that takes its time to arrive would never do so; in the end longer than a poll is held, so that
    // a link whose polls all go astray is given up.
    const lateMs = negotiation.pace.late(timing) * 2 ** link.hedgedPolls;
    const reply = link.attached && !comesBackBy(c, link) ? Math.max(outbox.unrepliedSinceMs, poll.sinceMs, heardMs) + lateMs : Infinity;
    return Math.min(reply, saidAgainAt(c, link, poll.sinceMs));
  }
  if (link.retrying) return pollNotBeforeMs;
  if (inbox.isBehind) {
    // A poll acknowledges what it has, so it may ask for more only once the application took what there is; but a reply
    // must not wait for that (L15), and the session must not be forgotten.
    return Math.max(pollNotBeforeMs, heardMs + (awaitsReplies ? timing.ackDelayMs : heartbeatMs));
  }
  // A new session is provisional until its second poll, and where there was something there may be more.
  const isEager = !isHidden || awaitsReplies || link.hasNews || !link.stated.resume;
  return Math.max(pollNotBeforeMs, isEager ? 0 : link.polledMs + timing.hiddenPollMs);
}

/**
 * When a poll that has no welcome is said once more. A page does not choose its connections: it may be given one that was kept
 * from before, and has died with the link that fell silent. A poll that is given up takes it along, so the next has another.
 * A hedge is said soon for as many as a browser keeps, then later and later; one beside which there is no link once, as late
 * as the next attempt would be.
 */
function saidAgainAt(c: Conversation, link: Link, sinceMs: number): number {
  const silent = hedgedBy(c, link);
  if (!silent && (link.confirmed || link.hedgedPolls)) return Infinity;
  const { joinFirstMs, joinBackMs } = c.options.timing;
  const waitMs = Math.max(c.negotiation.pace.silence(silent ? joinFirstMs / 2 : joinBackMs), silent?.moved ? 0 : c.guidance.windowMs);
  return Math.max(sinceMs, link.heardMs) + waitMs * 2 ** Math.max(link.hedgedPolls - KEPT_CONNECTIONS, 0);
}

/** The link that fell silent, where this is a poll beside it. */
const hedgedBy = ({ links }: Conversation, link: Link): Link | undefined =>
  link.attached && !link.confirmed ? [...links.values()].find((other) => other !== link && other.confirmed) : undefined;

/** Sends a poll, with the next attach number, and with more behind what it says by itself. */
export function pollAgain(c: Conversation, link: Link, ...more: UpFrame[]): void {
  const { negotiation, isHidden, now } = c;
  const { timing } = c.options;
  const isFirst = !link.confirmed;
  link.attach = ++c.attach;
  // What is said again for want of an answer has its appointment still.
  if (isFirst) c.slot = link.slot = c.slot ?? link.slot;
  const message = greeting(c, link, isFirst);
  const { resume, positions, after } = link.stated;
  // What rebuilds or opens a session is never parked, nor is the first of a link: a welcome answers it.
  const goesOn = resume && !isFirst;
  if (goesOn) message.push(...negotiation.history.tell(now));
  const parks = goesOn && !positions && !isHidden;
  // A hidden page shares six connections with its whole origin: what answers a ping is not held.
  if (goesOn && isHidden) message.push({ type: 'ping' });
  // One that is late is hedged by another at once, which may take longer: the network may have become slower.
  const graceMs = negotiation.pace.silence(timing.pollGraceMs) * 4 ** Math.min(link.latePolls, LATE_POLLS);
  if (link.poll) link.hedgedPolls++;
  link.retrying = false;
  link.acked = after;
  link.polledMs = now;
  link.poll = { attach: link.attach, sinceMs: now, untilMs: now + (parks ? timing.pollHoldMs + graceMs : timing.welcomeMs) };
  c.outputs.push({ do: 'poll', link: link.key, attach: link.attach, message: [...message, ...more], isBare: !!link.isBare });
}

/** When something about a link is due. */
export function linkDeadline(c: Conversation, link: Link): number {
  const due = [link.untilMs, link.poll?.untilMs ?? Infinity];
  if (link === c.active) {
    due.push(link.pingedMs + c.negotiation.pace.patience(c.options.timing));
    due.push(link.isPolling ? pollDue(c, link) : Math.min(doubtAt(c, link), link.isDuplex ? c.ackAtMs : Infinity));
    if (!link.isDuplex) due.push(link.post ? link.post.untilMs : postDue(c, link));
  }
  return Math.min(...due);
}
