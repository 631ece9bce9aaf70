/**
 * Opening links: attempts, probes, moves.
 *
 * Which transport, and when, is for the negotiation to decide; what is said on it is decided here. While the session has no
 * link, whoever is opened attaches in its `hello`. While it has one, another stream is only a probe (L10): it displaces
 * nothing until a nonce has come down it. A poll is an attach by itself; the link before it is kept until the poll is known
 * to have arrived.
 */

import type { Hello, TransportName, UpFrame } from '../protocol.js';
import { LONGEST_MS } from './backoff.js';
import { type Conversation, say, stand, stay } from './conversation.js';
import { giveUp, linkFailed } from './ending.js';
import { type Link, newLink, nothingStated, type Stated } from './link.js';
import { budget, pollAgain } from './up.js';

/** What a position takes in a message, with the name of its channel, at most. */
const POSITION_BYTES = 300;

/** Begins to look for a link for a session that has none. */
export function attempt(c: Conversation): void {
  stand(c, 'opening');
  c.attemptedMs = c.now;
  // A page that was loaded again opens as one that is here for the first time: its network may be another.
  c.negotiation.attempt(c.now, !!(c.known && c.wasUp), Math.min(c.guidance.windowMs, LONGEST_MS));
}

/** Does what the negotiation decides. */
export function negotiate(c: Conversation): void {
  for (;;) {
    const decision = c.negotiation.decide(c.now, (key) => c.links.has(key));
    if (!decision) return;
    if (decision.do === 'carry' || decision.do === 'probe') {
      open(c, decision.transport, decision.do === 'carry');
      continue;
    }
    const link = c.links.get(decision.link);
    if (!link) continue;
    if (decision.do === 'drop') giveUp(c, link, decision.outcome);
    else say(c, link, opening(c, link, decision.attach));
  }
}

/** Moves to another transport if that is planned. */
export function moveIfDue(c: Conversation): void {
  const { planned } = c;
  if (!planned || planned.atMs > c.now) return;
  c.planned = undefined;
  if (!c.active) return stay(c, planned.ticket, NO_LINK);
  dropProbes(c, REPLACED);
  open(c, planned.transport, false, planned.ticket);
}

/** Opens a link: to carry the session, or as a probe. */
function open(c: Conversation, transport: TransportName, carries: boolean, ticket?: number): void {
  const isDuplex = c.options.transports.some(({ name, isDuplex }) => name === transport && isDuplex);
  const link = newLink(c.nextLink++, transport, isDuplex, c.now);
  link.ticket = ticket;
  link.carries = carries || link.isPolling;
  if (link.carries && !link.isPolling) link.untilMs = c.now + c.options.timing.welcomeMs;
  c.negotiation.began(c.now, link.key, transport, link.carries, !isDuplex);
  c.links.set(link.key, link);
  // A duplex link says hello when its handshake is done: only then is it known as what, and from where on.
  const hello = isDuplex || link.isPolling ? [] : opening(c, link, carries);
  c.outputs.push({ do: 'open', link: link.key, transport, offer: c.negotiation.offer(transport), hello });
  if (!link.isPolling) return;
  link.greeted = true;
  // A poll needs no welcome where there is a session of this page, so commands need not wait for its answer.
  if (c.known && c.wasUp) {
    link.attached = true;
    c.active = link;
  }
  pollAgain(c, link);
}

/** What a stream says first: `hello`, and behind one that opens a session what may travel with it. */
function opening(c: Conversation, link: Link, attaches: boolean): UpFrame[] {
  // L10: a client with no working link may attach in its hello.
  link.attach = attaches ? ++c.attach : 0;
  link.carries = attaches;
  link.greeted = true;
  link.untilMs = attaches ? c.now + c.options.timing.welcomeMs : Infinity;
  return greeting(c, link, true);
}

/**
 * A `hello`, and what it says of the session. The first of a page carries its subscriptions (C5), so that the first event
 * comes with the answer. A poll that goes on leaves out what its first one said.
 */
export function greeting(c: Conversation, link: Link, isFirst: boolean): UpFrame[] {
  const { known, auth, slot, options } = c;
  const stated = (link.stated = state(c));
  const { resume, incarnation, after, low, positions } = stated;
  c.slot = undefined;
  const hello: Hello = {
    type: 'hello',
    version: 0,
    instance: c.instance,
    ...(link.attach && { attach: link.attach }),
    ...(auth !== undefined && { auth }),
    ...(known && resume && { resume: { token: known.token, incarnation, after, low, ...(positions && { positions }) } }),
    ...(isFirst && { client: options.client }),
    ...(slot !== undefined && { slot }),
  };
  const message: UpFrame[] = [hello];
  // C7: what travels behind the hello of a page that was loaded again is dropped where its session is gone; a send would be
  // in doubt then for nothing.
  const run = !link.attach || (resume && c.wasUp) ? undefined : c.outbox.openingRun(c.now, c.limits.commandsAhead, budget(c, message));
  if (run) {
    stated.commands = run.first + run.items.length - 1;
    message.push(run);
  }
  return message;
}

/**
 * What a `hello` says now. `after` is what the application took, except where positions go along: they count everything
 * that came, and so must `after`.
 *
 * Whoever comes back states them unasked, as a gateway that crashed holds no session and would have to ask: but not where
 * that would acknowledge what the application has not taken, nor where there are many.
 */
function state({ known, positionsWanted, inbox, outbox, attempts, limits }: Conversation): Stated {
  if (!known) return nothingStated();
  const isShort = inbox.positions.size * POSITION_BYTES <= limits.messageBytes / 2;
  const isStated = !!positionsWanted || (attempts > 0 && !inbox.isBehind && isShort);
  return {
    resume: true,
    incarnation: known.incarnation,
    after: isStated ? inbox.received : inbox.taken,
    low: outbox.low,
    positions: isStated ? Object.fromEntries(inbox.positions) : undefined,
    commands: 0,
  };
}

/** N4: whether anything that a `hello` stated has moved since, so that a session rebuilt from it is not this one. */
export function hasMoved({ inbox, outbox }: Conversation, { after, low, positions }: Stated): boolean {
  return after !== inbox.received || low !== outbox.low || Object.keys(positions ?? {}).length !== inbox.positions.size;
}

/** Gives links up that have not taken over yet. */
export function dropProbes(c: Conversation, reason: string): void {
  for (const link of c.links.values()) if (link !== c.active && !link.attached) dropLink(c, link, reason);
}

/** Ends a link that does not carry the session any more. */
export function dropLink(c: Conversation, link: Link, reason: string): void {
  if (!c.links.delete(link.key)) return;
  c.outputs.push({ do: 'close', link: link.key, inPeace: false });
  if (c.active === link) c.active = undefined;
  stay(c, link.ticket, reason);
}

/**
 * L10: the nonce has come down a probe, which becomes the active link.
 *
 * Number and `after` are taken at this moment: polls that ran meanwhile have used higher ones. What follows the nonce may
 * be swallowed all the same, so the link is asked for a sign at once.
 */
export function prove(c: Conversation, link: Link, nonce: number): void {
  if (link.stated.incarnation !== c.known?.incarnation) {
    // N1, N4: nothing that it counts would be heard.
    return linkFailed(c, link, 'late', REBUILT);
  }
  link.attached = true;
  link.said = c.outbox.taken;
  link.acked = c.inbox.taken;
  link.ackedBytes = c.inbox.bytes;
  if (link.isDuplex) {
    c.followed = link.attach = ++c.attach;
    link.pingedMs = c.now;
    link.askedMs = Math.min(link.askedMs, c.now);
    say(c, link, [{ type: 'pong', nonce }, { type: 'attach', number: link.attach, after: link.acked }, { type: 'ping' }]);
  } else {
    link.pong = nonce;
    link.attaches = true;
  }
  c.active = link;
  c.ackAtMs = Infinity;
}

/** Why a move was not made. */
export const NO_LINK = 'there is no link to move from';
export const REPLACED = 'another link took its place';
export const REBUILT = 'the session was rebuilt meanwhile';
export const UNPROVEN = 'it came to nothing';
