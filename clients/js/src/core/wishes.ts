/** What the application wants, and what becomes of the page that it is on. */

import type { Command, TransportName, VolatileUp } from '../protocol.js';
import { nextWaitMs } from './backoff.js';
import { type Conversation, isOver, plan, say, stand, stay, tell } from './conversation.js';
import { CLOSED, dropAll, loseSession } from './ending.js';
import { forgetAsked } from './link.js';
import { NO_LINK } from './opening.js';
import { lengthOf, sizeOf } from './outbox.js';
import { comesBackBy, postAlone } from './post.js';
import { askForLife, budget, pollAgain } from './up.js';

/** What a message holds around the one thing that it is about: names, numbers, an acknowledgement, a pong. */
const AROUND_BYTES = 384;

/** How large one command or volatile may be. */
const largest = (c: Conversation): number => budget(c, {}) - AROUND_BYTES - (c.known?.token.length ?? 0);

/** Takes a command of the application. How large it is is measured here, and once. */
export function command(c: Conversation, wanted: Command, ticket: number): void {
  const bytes = sizeOf(wanted);
  if (isOver(c)) return tell(c, ticket, { kind: 'closed' });
  if (bytes <= largest(c)) return c.outbox.push(wanted, ticket, bytes);
  const error = { code: 'message_too_large', message: 'larger than the gateway takes', retryable: false };
  tell(c, ticket, { kind: 'rejected', error });
}

/** Says something that is not kept: on the link there is, or not at all. */
export function sayVolatile(c: Conversation, said: Omit<VolatileUp, 'type' | 'seq'>): boolean {
  const link = c.active;
  if (!link || isOver(c)) return false;
  const volatile = { type: 'volatile', ...said, seq: c.volatiles.number(c.options.wall()) } as const;
  if (lengthOf(volatile) > largest(c)) return false;
  if (link.isDuplex) say(c, link, [volatile], true);
  else c.volatiles.wait(volatile);
  return true;
}

/** Moves the session to another transport, while the link it has goes on. */
export function migrate(c: Conversation, transport: TransportName, ticket: number): void {
  if (isOver(c)) return stay(c, ticket, CLOSED);
  if (!c.negotiation.isListed(transport)) return stay(c, ticket, 'it is none of the transports of this client');
  if (!c.active) return stay(c, ticket, NO_LINK);
  // Whoever asks for a transport by name wants to stay on it.
  c.negotiation.pin(transport);
  plan(c, { atMs: c.now, transport, ticket });
}

/**
 * New credentials, for the next links and for the one that is up. They last as long as the ones before, until it is told.
 * Without any the next link shows none.
 */
export function authenticate(c: Conversation, token: string | undefined): void {
  c.auth = token;
  c.authExpiresAtMs = c.now + c.authExpiresInMs;
  const link = c.active;
  if (c.standing === 'unauthorized') stand(c, 'waiting', c.now);
  else if (!link || token === undefined) return;
  else if (link.isDuplex) say(c, link, [{ type: 'auth', token }]);
  else if (!comesBackBy(c, link)) postAlone(c, link, { type: 'auth', token });
}

/** The network is another one, or the page is back: what stands is asked for a sign, a wait is cut short. */
export function networkChanged(c: Conversation): void {
  c.paused = undefined;
  c.negotiation.networkChanged();
  for (const link of c.links.values()) {
    link.moved = true;
    forgetAsked(link);
  }
  if (c.standing === 'waiting' && !c.advised) {
    c.untilMs = Math.min(c.untilMs, c.now + nextWaitMs(c.guidance, 1, 0, c.options.random));
  }
  if (!isOver(c)) askForLife(c);
}

/** There is no network: nothing is opened; what stands may yet show that it lives. */
export function goOffline(c: Conversation): void {
  c.paused ??= 'offline';
  c.negotiation.offline();
  if (c.standing === 'opening') forgetLinks(c);
}

/** The page is put aside, and its links are cut; the session is kept. */
export function freeze(c: Conversation): void {
  c.paused = 'frozen';
  if (c.standing === 'opening' || c.standing === 'up') forgetLinks(c);
}

/** What the page left was taken by another: as if all of it had been said, and longer ago than any `id` is known (C6). */
export function disown(c: Conversation): void {
  if (isOver(c)) return;
  freeze(c);
  c.outbox.doubt();
  loseSession(c, undefined, 'superseded');
}

/** No link is left, and none has failed. */
function forgetLinks(c: Conversation): void {
  dropAll(c);
  c.advised = c.notBeforeMs > c.now;
  c.reason = c.paused ?? '';
  stand(c, 'waiting', Math.max(c.now, c.notBeforeMs));
}

/** The page is hidden and shares its connections: a poll that is held gives its connection back. */
export function hide(c: Conversation, isHidden: boolean): void {
  c.isHidden = isHidden;
  const link = c.active;
  if (isHidden && link?.isPolling && link.confirmed && link.poll && !isOver(c)) pollAgain(c, link);
}
