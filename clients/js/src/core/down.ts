/** What the gateway's frames mean. */

import type { DownFrame, ErrorFrame, Item, Reply, ReplyError, Retry, VolatileDown, Welcome } from '../protocol.js';
import { appointmentMs } from './backoff.js';
import { type Conversation, plan, say, stand, tell } from './conversation.js';
import { attachAfresh, bears, comeBack, lacksCookies, linkFailed, loseSession, mismatch, needCredentials, protocolError, refused, stop } from './ending.js';
import type { Link } from './link.js';
import { dropLink, hasMoved, prove, REPLACED, UNPROVEN } from './opening.js';
import type { Outbox } from './outbox.js';

/** Answers in a row that may come at once and bring nothing. */
const IDLE_ANSWERS = 2;

/** Codes of errors after which the same thing may succeed later (docs/protocol.md, Error codes). */
const RETRYABLE = /^(too_many_(?!sub)|commands_ahead|rate_limited|handler_failed|overloaded|shutting_down|timed_out|internal|incarnation_)/;

/** Something came down a link. */
export function handleFrames(c: Conversation, link: Link, frames: readonly DownFrame[]): void {
  for (const frame of frames) if (c.links.has(link.key)) handleFrame(c, link, frame);
}

/** A link showed that it lives, with or without a word. */
export function handleAlive(c: Conversation, link: Link): void {
  link.heardMs = c.now;
  link.wakes = 0;
  link.pingedMs = Infinity;
  link.moved = false;
  // The answer of a poll has begun, and may be large.
  const graceMs = 4 * c.negotiation.pace.silence(c.options.timing.pollGraceMs);
  // Before a session stands, one that trickles must not keep better links from opening it.
  if (link.poll && (link.confirmed || c.now - link.poll.sinceMs < c.options.timing.welcomeMs)) {
    link.poll.untilMs = Math.max(link.poll.untilMs, c.now + graceMs);
  }
  c.negotiation.heard(c.now, link.key);
}

/** A poll is answered; the answer to one that was given up is ignored. */
export function handleAnswer(c: Conversation, link: Link, attach: number, frames: readonly DownFrame[]): void {
  const { poll } = link;
  if (poll?.attach !== attach) return;
  // The goodbye may be on another link.
  if (c.standing === 'closing') return c.active === link ? stop(c, undefined) : undefined;
  link.poll = undefined;
  link.heardMs = c.now;
  link.latePolls = link.hedgedPolls = link.wakes = 0;
  const count = (): number => c.inbox.received + c.outbox.taken;
  const before = count();
  const isFirst = !link.confirmed;
  handleFrames(c, link, frames);
  if (!c.links.has(link.key)) return;
  if (link.fault) return comeBack(c, link, link.fault);
  if (!link.attached) return protocolError(c, link, 'answered without a welcome');
  link.hasNews = count() !== before || isFirst;
  link.idleAnswers = link.hasNews || c.now - poll.sinceMs >= 100 ? 0 : link.idleAnswers + 1;
  if (link.idleAnswers > IDLE_ANSWERS) {
    // A gateway that has nothing to say holds a poll; whoever answers for it at once is not to be hammered.
    const waitMs = 100 * 2 ** Math.min(link.idleAnswers - IDLE_ANSWERS - 1, 5);
    link.pollNotBeforeMs = Math.max(link.pollNotBeforeMs, c.now + waitMs);
  }
  if (!link.retrying) {
    c.followed = Math.max(c.followed, attach);
    confirm(c, link, true);
  }
  if (c.active !== link) dropLink(c, link, REPLACED);
}

function handleFrame(c: Conversation, link: Link, frame: DownFrame): void {
  handleAlive(c, link);
  // What comes down a link before it is attached says nothing about its attach.
  const wasActive = c.active === link;
  switch (frame.type) {
    case 'welcome':
      return handleWelcome(c, link, frame);
    case 'retry':
      return handleRetry(c, link, frame);
    case 'items':
      handleAck(c, link, frame.ack);
      handleItems(c, link, frame.first, frame.items);
      break;
    case 'ack':
      handleAck(c, link, frame.upTo);
      break;
    case 'error':
      link.isAnswered = refuse(c, frame.command, frame);
      if (frame.fatal) link.fault = frame.code;
      break;
    case 'migrate': {
      const atMs = c.now + appointmentMs(frame.delayMs, frame.spreadMs, c.options.random);
      const transport = c.negotiation.asked(frame.transports, atMs);
      if (transport) plan(c, { atMs, transport });
      break;
    }
    case 'ping':
      handleWindow(c, frame.windowMs);
      handlePing(c, link, frame.nonce);
      break;
    case 'pong':
      handleWindow(c, frame.windowMs);
      if (Math.abs(link.askedMs) < Infinity) c.negotiation.pace.measure(c.now - link.askedMs);
      link.askedMs = Infinity;
      break;
    case 'volatile':
      handleVolatile(c, link, frame);
      break;
    default:
  }
  if (!link.isPolling && wasActive) confirm(c, link, true);
}

/** Something that is not kept: of a channel that is held, and newer than the last of its sender. */
function handleVolatile(c: Conversation, link: Link, frame: VolatileDown): void {
  if (link.attached && c.inbox.positions.has(frame.channel) && c.volatiles.isNews(frame)) c.inbox.note({ hear: 'volatile', item: frame });
}

export function handleWindow(c: Conversation, windowMs: number | undefined): void {
  if (windowMs !== undefined) c.guidance.windowMs = windowMs;
}

function handlePing(c: Conversation, link: Link, nonce: number | undefined): void {
  if (link.probing && nonce !== undefined) {
    link.probing = false;
    // Its attach would overtake that of a move by name, which would be answered with no; of two such moves the later wins.
    if (link.ticket === undefined && c.active?.ticket !== undefined) {
      return linkFailed(c, link, 'late', REPLACED, c.options.timing.reprobeMs);
    }
    prove(c, link, nonce);
  } else if (!link.probing && !link.attached) return;
  else if (link.isDuplex) {
    say(c, link, [nonce === undefined ? { type: 'pong' } : { type: 'pong', nonce }]);
    const { timing } = c.options;
    // Times stretch: then the round trip is worth another look.
    if (link.askedMs === Infinity && c.negotiation.pace.patience(timing) > timing.pongMs) {
      link.askedMs = c.now;
      say(c, link, [{ type: 'ping' }]);
    }
  }
  // A pong by post is a request: worth it only where the gateway waits for this very nonce.
  else if (nonce !== undefined && !link.isPolling) link.pong = nonce;
}

/** A session stands, on this link. */
function handleWelcome(c: Conversation, link: Link, welcome: Welcome): void {
  const { inbox, outbox, negotiation, known } = c;
  const { session, token, incarnation, user, windowMs, backoff } = welcome;
  c.guidance = { windowMs, backoff };
  c.heartbeatMs = Math.min(Math.max(welcome.heartbeatMs, 1), 3_600_000);
  if (!link.greeted) return protocolError(c, link, 'welcomed before hello');
  negotiation.welcomed(c.now, link.key);
  if (welcome.transports) {
    c.offers = welcome.transports;
    negotiation.offered(c.now, welcome.transports);
  }
  link.name = welcome.link;
  link.untilMs = Infinity;
  const { attach, stated } = link;
  if (!attach) {
    // L10: a probe. It is one of this session, or of no use.
    const isSame = welcome.resumed && known?.session === session && known.incarnation === incarnation;
    if (!isSame) return linkFailed(c, link, 'refused', 'welcomed to another session');
    link.probing = !link.attached;
    return;
  }
  // L12: only a welcome of a later attach than the last one is followed.
  if (attach <= c.followed) {
    if (!link.attached) dropLink(c, link, REPLACED);
    return;
  }
  if (welcome.limits) c.limits = welcome.limits;
  const isLost = stated.resume && !welcome.resumed;
  if (isLost && welcome.reason === 'user_mismatch' && lacksCookies(c, link)) return comeBack(c, link, welcome.reason);
  const isRebuilt = !isLost && !!known && known.incarnation !== incarnation;
  // N4: another incarnation ends older links.
  if (isRebuilt) dropOthers(c, link);
  if ((isRebuilt || (isLost && stated.positions)) && hasMoved(c, stated)) {
    // It is not this session if that moved meanwhile, and what came by an older link would come again.
    dropOthers(c, link);
    c.positionsWanted = true;
    c.followed = attach;
    return attachAfresh(c, link);
  }
  if (isLost) loseSession(c, link, welcome.reason ?? 'gone', !!stated.positions, welcome.user);
  if (!c.known) beginSession(c, link, welcome);
  else {
    const isAhead = !isRebuilt && welcome.next > inbox.received + 1;
    if (isAhead || welcome.received >= outbox.next) return mismatch(c, link);
    if (isRebuilt) {
      inbox.received = Math.max(welcome.next, 1) - 1;
      outbox.taken = welcome.received;
    } else outbox.confirm(welcome.received);
  }
  if (isRebuilt || isLost) wishAgain(c);
  c.followed = attach;
  c.positionsWanted = false;
  c.known = { session, token, incarnation, user };
  c.authExpiresInMs = welcome.authExpiresInMs ?? Infinity;
  c.authExpiresAtMs = c.now + c.authExpiresInMs;
  stated.incarnation = incarnation;
  link.attached = true;
  // L5: this link knows of nothing but what its hello said. What travelled behind that is said, as far as the gateway keeps
  // it; C7: not where the session was gone.
  link.acked = Math.min(stated.after, inbox.received);
  link.ackedBytes = inbox.bytes;
  link.said = Math.max(outbox.taken, Math.min(isLost ? 0 : stated.commands, outbox.low - 1 + c.limits.commandsAhead));
  c.active = link;
  c.ackAtMs = Infinity;
  confirm(c, link, welcome.resumed && stated.resume);
}

/** A new session begins, on this link. */
function beginSession(c: Conversation, link: Link, { next, received }: Welcome): void {
  // Whoever else has said hello has opened a session of its own, which nobody follows.
  for (const other of c.links.values()) if (other !== link && other.greeted) dropLink(c, other, UNPROVEN);
  c.negotiation.beginAnew();
  c.volatiles.forget();
  c.inbox.received = Math.max(next, 1) - 1;
  c.outbox.taken = Math.min(received, Math.max(link.stated.commands, c.outbox.low - 1));
}

/** Positions do not say who wants presence: it is asked for again, which changes nothing else of a channel that is held. */
function wishAgain({ wishes, inbox, outbox }: Conversation): void {
  for (const { from: _, ...wish } of wishes.values()) {
    if (wish.presence && inbox.positions.has(wish.channel) && !outbox.asksFor(wish.channel)) outbox.push(wish, 'wish');
  }
}

/** A link that was attached has shown that the gateway follows it. */
export function confirm(c: Conversation, link: Link, isResumed: boolean): void {
  if (link.confirmed || c.active !== link || !c.known) return;
  link.confirmed = true;
  tell(c, link.ticket, { kind: 'migrated' });
  link.ticket = undefined;
  c.negotiation.up(c.now, link.key);
  // L7: the gateway ends writing to older links; nothing more is wanted from them.
  dropOthers(c, link);
  stand(c, 'up');
  c.wasUp = true;
  c.attempts = 0;
  c.notBeforeMs = -Infinity;
  c.inbox.note({ hear: 'up', session: c.known.session, isResumed });
}

/** Drops the links before this one. A poll with a higher number is on its way to take over, and stays. */
function dropOthers(c: Conversation, { attach }: Link): void {
  for (const other of c.links.values()) if (other.attached && other.attach < attach) dropLink(c, other, REPLACED);
}

/** N1: numbers of another incarnation mean nothing here. */
const counts = ({ known }: Conversation, { attached, stated }: Link): boolean => !!attached && stated.incarnation === known?.incarnation;

function handleItems(c: Conversation, link: Link, first: number, items: readonly Item[]): void {
  if (!counts(c, link)) return;
  for (const [index, item] of items.entries()) {
    const ahead = first + index - c.inbox.received - 1;
    // L11: what came before is dropped; one before it is missing, which a gateway never lets happen.
    if (ahead > 0) return protocolError(c, link, 'an item is missing');
    if (ahead === 0) take(c, item);
    link.useful = true;
    link.doubts = 0;
  }
  c.refusals = 0;
  if (c.inbox.isFlooded(c.limits)) protocolError(c, link, 'sent beyond its windows');
}

/** Takes the next item; whoever waits for it hears at once, outside the application's queue (L15). */
function take(c: Conversation, item: Item): void {
  const { inbox, outbox, wishes } = c;
  let isQuiet = false;
  if (item.type === 'reply') {
    const done = outbox.reply(item.command);
    if (done) replied(c, done, item.error, item);
  } else if (item.type === 'subscribed') {
    const done = outbox.reply(item.command);
    const place = inbox.positions.get(item.channel);
    isQuiet = done?.owner === 'wish' && place?.epoch === item.position.epoch && place.offset === item.position.offset;
    if (done?.command.type === 'subscribe') wishes.set(item.channel, done.command);
    tell(c, done?.owner, { kind: 'subscribed', subscribed: item });
  } else if (item.type === 'unsubscribed') {
    c.volatiles.forget(item.channel);
    wishes.delete(item.channel);
    tell(c, outbox.reply(item.command)?.owner, { kind: 'unsubscribed' });
  }
  inbox.take(item, isQuiet);
}

type Done = NonNullable<ReturnType<Outbox['reply']>>;

/** A command has its reply: an error, or what is in an item. */
function replied(c: Conversation, { owner, command }: Done, error: ReplyError | undefined, reply?: Reply): void {
  const { inbox, outbox, wishes } = c;
  if (error && typeof owner !== 'number' && command.type === 'subscribe') {
    const { channel } = command;
    const isFull = command.presence && error.code === 'too_many_members';
    if (owner === 'renewal' && !isFull) {
      inbox.positions.delete(channel);
      wishes.delete(channel);
      inbox.note({ hear: 'unsubscribed', item: { type: 'unsubscribed', channel, reason: 'revoked' }, error });
    } else if (inbox.positions.has(channel)) {
      // P9: a channel that is held stays as it is, but for its presence; one that is asked for anew is had without.
      const without = { ...command, presence: false };
      if (owner === 'renewal') outbox.push(without, owner);
      wishes.set(channel, without);
      inbox.note({ hear: 'presenceLost', item: { channel }, error });
    }
  } else if (error) tell(c, owner, { kind: 'rejected', error });
  else if (command.type === 'unsubscribe') tell(c, owner, { kind: 'unsubscribed' });
  else if (command.type === 'send') tell(c, owner, { kind: 'accepted', reply: reply ?? {} });
  // `subscribed` is the only good answer to a subscribe.
  else tell(c, owner, { kind: 'rejected', error: { code: 'internal', message: 'a reply without what it is about', retryable: true } });
}

/**
 * The gateway reports an error: whether it was about a command, which has its reply by that. Where a message was too large, the
 * largest on its way is it.
 */
export function refuse(c: Conversation, number: number | undefined, { code, message }: Pick<ErrorFrame, 'code' | 'message'>): boolean {
  const done = c.outbox.reply(number ?? (code === 'message_too_large' ? c.outbox.largestOnItsWay() : undefined));
  if (done) replied(c, done, { code, message, retryable: RETRYABLE.test(code) });
  return !!done;
}

export function handleAck(c: Conversation, link: Link, upTo: number | undefined): void {
  if (upTo === undefined || !counts(c, link) || !c.outbox.confirm(upTo)) return;
  link.useful = true;
  link.doubts = c.strikes = 0;
}

/** The gateway says when to come back. */
function handleRetry(c: Conversation, link: Link, { delayMs, spreadMs, reason, slot, transports, final }: Retry): void {
  const waitMs = appointmentMs(delayMs, spreadMs, c.options.random);
  if (slot !== undefined) c.slot = slot;
  if (reason === 'superseded') return superseded(c, link, waitMs);
  if (transports) c.negotiation.asked(transports, c.now);
  // What is sent away for a while has not failed.
  if (!bears(c, link)) return linkFailed(c, link, final ? 'refused' : 'drained', reason, waitMs);
  if ((final || reason === 'unauthorized') && lacksCookies(c, link)) return comeBack(c, link, reason);
  if (reason === 'unauthorized') return needCredentials(c);
  if (final) return stop(c, reason);
  if (reason === 'protocol_error' && !link.isAnswered) return refused(c, link, reason, waitMs);
  if (reason !== 'positions') {
    // Where the session has ended, or another gateway answers, positions are asked for: they may as well go along.
    c.positionsWanted ||= reason === 'ended' || reason === 'drain';
    return comeBack(c, link, reason, waitMs);
  }
  c.positionsWanted = true;
  const wasStated = !!link.stated.positions;
  if (link.isPolling && link.attached && !wasStated) {
    link.pollNotBeforeMs = c.now + waitMs;
    link.retrying = true;
  } else comeBack(c, link, reason, wasStated ? undefined : waitMs);
}

/** L8: below the newest attach `superseded` means nothing; for the newest, someone else holds the token. */
function superseded(c: Conversation, link: Link, waitMs: number): void {
  if (link.attach && link.attach === c.attach) {
    loseSession(c, link, 'superseded');
    comeBack(c, link, 'superseded', waitMs);
  } else if (c.active !== link) {
    const { attached } = link;
    dropLink(c, link, UNPROVEN);
    // L7: so the gateway has taken the newer attach.
    if (c.active && attached) confirm(c, c.active, true);
  } else if (link.isPolling) {
    // The newer attach came to nothing: poll again, with a number of its own.
    link.retrying = true;
  } else {
    const reason = 'superseded by this client';
    c.negotiation.ended(c.now, link.key, 'late', reason);
    comeBack(c, link, reason, 0);
  }
}
