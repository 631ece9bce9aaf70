/** What goes up by requests of its own, beside a poll or an event stream. */

import type { DownFrame, ErrorFrame, UpFrame } from '../protocol.js';
import { appointmentMs } from './backoff.js';
import type { Conversation } from './conversation.js';
import { handleAck, handleWindow, refuse } from './down.js';
import { fail, stop } from './ending.js';
import type { Link, Post } from './link.js';
import type { Known } from './output.js';
import { lengthOf } from './outbox.js';
import { ackAt, budget } from './up.js';

/** The slowest way up that a post is still given the time for. */
const UPLOAD_BYTES_PER_MS = 8;

/** Posts in a row that may fail before their link is given up. */
const FAILED_POSTS = 6;

/** What the history takes, told at its longest. */
const TOLD_BYTES = 2_048;

/** Errors which say that a session is not what the post took it for: an attach tells what became of it (C7). */
const STALE = /^(session_|token_invalid|incarnation_)/;

/** Posts what a link without an upward direction has to say. */
export function post(c: Conversation, link: Link): void {
  const { inbox, outbox, limits, known, negotiation, volatiles, now } = c;
  const { timing } = c.options;
  if (!link.isPolling) ackAt(c, link);
  if (!known || link.post || postDue(c, link) > now) return;
  const { pings, pong, attaches: attach } = link;
  const message = namingSession(known, link);
  const { taken, bytes } = inbox;
  if (pong !== undefined) message.push({ type: 'pong', nonce: pong });
  // Answered down the stream.
  if (pings) message.push({ type: 'ping' });
  link.pings = false;
  if (attach) {
    // L6: said again until confirmed, with numbers of the moment.
    c.followed = link.attach = ++c.attach;
    link.acked = taken;
    link.ackedBytes = bytes;
    message.push({ type: 'attach', number: link.attach, after: taken });
  }
  const acks = !link.isPolling && taken > link.acked;
  const run = outbox.run(now, outbox.taken, limits.commandsAhead, budget(c, message));
  if (run) message.push(acks ? { ...run, ack: taken } : run);
  else if (acks) message.push({ type: 'ack', upTo: taken });
  // What need not be said now takes what room is left.
  const length = lengthOf(message);
  let room = budget(c, {}) - length;
  if (room > TOLD_BYTES) {
    message.push(...negotiation.history.tell(now));
    room -= TOLD_BYTES;
  }
  message.push(...volatiles.drain((volatile) => (room -= lengthOf(volatile) + 1) > 0));
  // What is late goes out again, on another connection; each time it has longer, and what is large has too.
  const lateMs = (negotiation.pace.late(timing) + negotiation.pace.patience(timing)) * 2 ** Math.min(link.failedPosts, 5);
  const patienceMs = Math.min(timing.postMs, lateMs + length / UPLOAD_BYTES_PER_MS);
  sendPost(c, link, message, { untilMs: now + patienceMs, ack: acks ? { upTo: taken, bytes } : undefined, commands: !!run, pong, attach });
}

/**
 * Whether this is the poll by which it comes back. It does so by one connection: what there is to post waits until that poll is
 * answered, and no other goes out beside it.
 */
export const comesBackBy = ({ attempts }: Conversation, { isPolling, confirmed }: Link): boolean => attempts > 0 && isPolling && !confirmed;

/** When there is something to post, and may be: `-Infinity` for now. */
export function postDue(c: Conversation, link: Link): number {
  const { outbox, limits, volatiles, ackAtMs } = c;
  if (comesBackBy(c, link)) return Infinity;
  const waits =
    link.pings || link.pong !== undefined || link.attaches || volatiles.isWaiting || outbox.hasRun(outbox.taken, limits.commandsAhead);
  return Math.max(link.postNotBeforeMs, waits ? -Infinity : link.isPolling ? Infinity : ackAtMs);
}

/** What a post begins with. */
function namingSession({ token, incarnation }: Known, link: Link): UpFrame[] {
  return [{ type: 'session', token, incarnation, link: link.name }];
}

function sendPost(c: Conversation, link: Link, message: readonly UpFrame[], post: Omit<Post, 'id' | 'sinceMs'>): void {
  const id = link.nextPost++;
  link.post = { id, sinceMs: c.now, ...post };
  c.outputs.push({ do: 'post', link: link.key, post: id, message });
}

/** Posts one frame at once, in place of a post that has no answer yet: what that one said is said again later. */
export function postAlone(c: Conversation, link: Link, frame: UpFrame): void {
  if (!c.known) return;
  sendPost(c, link, [...namingSession(c.known, link), frame], { untilMs: c.now + c.options.timing.postMs, bye: frame.type === 'bye' });
}

/** A post is answered, or failed. */
export function handlePosted(c: Conversation, link: Link, id: number, answer: readonly DownFrame[] | string): void {
  const { post } = link;
  if (post?.id !== id) return;
  link.post = undefined;
  if (typeof answer !== 'string') c.negotiation.pace.measure(c.now - post.sinceMs, false);
  if (post.bye && c.standing === 'closing') return stop(c, undefined);
  const before = c.outbox.taken;
  const { random } = c.options;
  let isDelivered = typeof answer !== 'string';
  let notBeforeMs = 0;
  for (const frame of typeof answer === 'string' ? [] : answer) {
    switch (frame.type) {
      case 'ack':
        handleAck(c, link, frame.upTo);
        break;
      case 'items':
        handleAck(c, link, frame.ack);
        break;
      case 'ping':
      case 'pong':
        handleWindow(c, frame.windowMs);
        break;
      case 'error':
        isDelivered = false;
        handleRefusal(c, link, frame);
        break;
      case 'retry':
        isDelivered = false;
        // Superseded is the link that this post is about: its own downward half says what that means.
        if (frame.reason !== 'superseded') notBeforeMs = c.now + appointmentMs(frame.delayMs, frame.spreadMs, random);
        break;
      default:
    }
  }
  if (!c.links.has(link.key)) return;
  const isProgress = c.outbox.taken > before;
  if (isDelivered) {
    if (post.ack) {
      // L5, L6: now it counts as made.
      link.acked = Math.max(link.acked, post.ack.upTo);
      link.ackedBytes = Math.max(link.ackedBytes, post.ack.bytes);
      c.ackAtMs = Infinity;
    }
    if (post.pong === link.pong) link.pong = undefined;
    if (post.attach) link.attaches = false;
    link.useful ||= isProgress;
    if (isProgress || !post.commands) {
      link.failedPosts = c.strikes = 0;
      link.postNotBeforeMs = notBeforeMs;
      return;
    }
  }
  // C1, L6: what was not taken is said again, with numbers of the moment, but not in a rush.
  link.failedPosts++;
  link.postNotBeforeMs = Math.max(notBeforeMs, c.now + appointmentMs(0, 100 * 2 ** Math.min(link.failedPosts, 6), random));
  if (link.failedPosts > FAILED_POSTS) fail(c, link, 'posts fail');
}

function handleRefusal(c: Conversation, link: Link, error: ErrorFrame): void {
  if (refuse(c, error.command, error) || !STALE.test(error.code)) return;
  if (!link.isPolling) return fail(c, link, error.code);
  // A poll that went out just now brings the news; otherwise another does.
  if (link.poll && c.now - link.poll.sinceMs >= c.options.timing.ackDelayMs) link.poll = undefined;
}
