/**
 * Which transport, and when: races, probes, hedges, and the way back up.
 *
 * Time and what became of links come in; what to open, to say first, and to give up comes out. There is no I/O here, no
 * clock, and no randomness but what was handed in: this is the table in docs/negotiation.md in other words.
 *
 * Three ideas carry it. *Nothing that may hang is waited for*: a poll works everywhere, so it goes first, or soon beside.
 * *A transport is proven, not assumed*: a probe displaces the link that works only once a nonce has come down it. *What
 * falls silent is hedged*: a poll goes out at once, and the silent link is kept until it is answered.
 *
 * The conductor owns the protocol: numbers, welcomes, nonces. It tells this class what happened (`opened`, `up`,
 * `ended` …), and carries out what `decide` says until it says nothing more. Links are named by numbers.
 */

import type { Random } from '../../clock.js';
import type { AttemptOutcome, Offer, TransportName } from '../../protocol.js';
import type { CoreOptions } from '../core.js';
import type { Verdict } from '../output.js';
import type { Timing } from '../timing.js';
import { type Candidate, Candidates, blame, forgive, isPolling } from './candidates.js';
import { type Decision, drop, greet } from './decision.js';
import { History } from './history.js';
import { type Opening, nextInTurn } from './opening.js';
import { Pace } from './pace.js';
import { BEGUN, GREETED, OPENED, UP, type Use, WELCOMED, busyUntil, expiresAt, expiry, isBlamed, reach, replaced } from './use.js';

/** Of the core's options, what decides on transports. The verdict may be of any age: what is too old does not count. */
export type NegotiationOptions = Pick<
  CoreOptions,
  'transports' | 'negotiates' | 'isSecure' | 'timing' | 'verdict' | 'random' | 'nowMs' | 'wall'
>;

type IsAlive = (link: number) => boolean;

export class Negotiation {
  readonly history = new History();
  pace = new Pace();
  /** Why the session is on what it is on, for a person; empty before a link was up. */
  why = '';
  readonly #negotiates: boolean;
  readonly #timing: Timing;
  readonly #random: Random;
  readonly #candidates: Candidates;
  #uses: readonly Use[] = [];
  // At most one of the two is there. Without either nothing is wanted: waiting, closed, or closing.
  #opening: Opening | undefined;
  /** The link that carries the session. */
  #active: Use | undefined;
  /** What carried the session last. */
  #carried: Candidate | undefined;
  /** What was proven before this client was made, or has been since. */
  #verdict: Candidate | undefined;
  #hasNews = false;
  /** How far down the list the next attempt looks. */
  #rotation = 0;
  #isFirst: boolean;
  #isOffline = false;
  // Over how long all clients come back, where this one does: in as much time it opens one link. When the next may be.
  #windowMs = 0;
  #risesAtMs = 0;
  /** The gateway asked for the next move. */
  #isAsked = false;
  /** The link that is late with something, and the one that was hedged for it. */
  #overdue: Use | undefined;
  #hedged: Use | undefined;

  constructor({ transports, negotiates, isSecure, timing, verdict, random, nowMs, wall }: NegotiationOptions) {
    this.#negotiates = this.#isFirst = negotiates;
    this.#timing = timing;
    this.#random = random;
    this.#candidates = new Candidates(transports, isSecure);
    for (const { name, missing } of transports) {
      if (missing !== undefined) this.history.note(nowMs, name, 'unsupported', 0, missing);
    }
    this.#verdict = verdict && this.#candidates.remembered(verdict, wall());
  }

  /** Whether the application listed this transport, and the platform has it. */
  isListed(transport: string): transport is TransportName {
    return !!this.#candidates.of(transport);
  }

  /** What the gateway last said of a transport. */
  offer(transport: TransportName): Offer | undefined {
    return this.#candidates.of(transport)?.offer ?? undefined;
  }

  /** When a transport may be tried again: in the past where it is not left alone. */
  notBefore(transport: TransportName): number {
    return this.#candidates.of(transport)?.notBeforeMs ?? 0;
  }

  /** Begins a round: the session has no link, and one is due now. `windowMs` is over how long all clients that lost this gateway come back. */
  attempt(nowMs: number, isKnown: boolean, windowMs: number): void {
    const isFirst = this.#isFirst && !isKnown;
    const remembered = isFirst ? this.#verdict : undefined;
    const isCold = isFirst && !remembered;
    // A gateway that a fleet comes back to is slow; it has enough to do with one connection each.
    const joinBackMs = this.#negotiates ? Math.max(this.pace.silence(this.#timing.joinBackMs), windowMs) : Infinity;
    this.#isFirst = false;
    this.#windowMs = windowMs;
    this.#active = undefined;
    this.#opening = {
      isCold,
      joinMs: isCold ? Infinity : remembered ? this.#timing.joinFirstMs : joinBackMs,
      joinsFailed: !!remembered,
      lead: isCold ? (this.#candidates.polling() ?? this.#candidates.order()[0]) : (remembered ?? nextInTurn(this.#candidates, this.#negotiates, this.#isAsked ? this.#candidates.order()[0] : this.#carried, this.#rotation)),
      hasJoined: false,
      quietSinceMs: nowMs,
    };
  }

  /** The next attempt looks further down the list. */
  turn(): void {
    this.#rotation++;
  }

  /** Nothing is wanted until the next `attempt`. */
  rest(): void {
    this.#opening = this.#active = this.#overdue = this.#hedged = undefined;
  }

  /** A link was begun. */
  began(nowMs: number, link: number, transport: TransportName, carries: boolean, isGreeted: boolean): void {
    const candidate = this.#candidates.of(transport);
    if (!candidate) return;
    const reached = isGreeted ? GREETED : BEGUN;
    const used: Use = { link, candidate, carries, sinceMs: nowMs, reached, atMs: nowMs, handshakeMs: 0, heardMs: nowMs };
    this.#uses = [...this.#uses, used];
    this.#risesAtMs = nowMs + this.#windowMs;
  }

  /** A link's handshake is done. */
  opened(nowMs: number, link: number): void {
    const used = this.#of(link);
    if (used?.reached !== BEGUN) return;
    used.handshakeMs = nowMs - used.sinceMs;
    reach(used, OPENED, nowMs);
    this.heard(nowMs, link);
  }

  /** A welcome has come down a link. */
  welcomed(nowMs: number, link: number): void {
    const used = this.#of(link);
    if (!used || used.reached >= WELCOMED) return;
    const tookMs = nowMs - used.atMs;
    // Where the hello went with the request, a new connection may be in it.
    this.pace.measure(tookMs, used.handshakeMs > 0);
    reach(used, WELCOMED, nowMs);
  }

  /** Something was heard on a link. */
  heard(nowMs: number, link: number): void {
    const used = this.#of(link);
    if (!used) return;
    used.heardMs = nowMs;
    if (this.#overdue === used) this.#overdue = undefined;
    // It was slow, and nothing came of the poll beside it: it may be hedged again.
    if (this.#hedged === used && !this.#uses.some((other) => other !== used && other.carries)) this.#hedged = undefined;
    if (this.#opening && used.carries) this.#opening.quietSinceMs = nowMs;
  }

  /** A link carries the session, and that is confirmed: whatever carried it before is left. */
  up(nowMs: number, link: number): void {
    const used = this.#of(link);
    if (!used) return;
    reach(used, UP, nowMs);
    used.carries = true;
    const before = this.#active;
    if (before === used) return;
    this.#opening = undefined;
    this.#active = used;
    const left = before && this.#of(before.link);
    const { candidate } = used;
    const how = left && replaced(left, candidate, left === this.#hedged, this.#isAsked);
    this.why = candidate === this.#candidates.pinned ? 'the application asked for it' : (how?.why ?? 'it was welcomed first');
    this.history.note(nowMs, candidate.name, 'proven', nowMs - used.sinceMs, this.why);
    this.#carried = candidate;
    this.#rotation = 0;
    // Whoever has not said hello yet says it as a probe.
    for (const other of this.#uses) if (other.reached < GREETED) other.carries = false;
    if (how) this.ended(nowMs, how.link, how.outcome, how.reason);
    this.#isAsked = false;
    this.#hedged = this.#overdue = undefined;
    if (!this.#rank(used)) this.#windowMs = 0; // all the way back
    if (!isPolling(candidate)) this.#judge(candidate);
  }

  /** A newer link came to nothing, and an older one carries the session again. */
  fellBack(link: number): void {
    const used = this.#of(link);
    if (used) [this.#opening, this.#active] = [undefined, used];
  }

  /** A link is over. */
  ended(nowMs: number, link: number, outcome: AttemptOutcome, reason: string): void {
    const used = this.#of(link);
    if (!used) return;
    this.#uses = this.#uses.filter((other) => other !== used);
    if (this.#overdue === used) this.#overdue = undefined;
    const { candidate } = used;
    const wasUp = used.reached === UP;
    const tookMs = nowMs - (wasUp ? used.atMs : used.sinceMs);
    const isSettled = wasUp && tookMs >= this.#timing.settledMs;
    this.history.note(nowMs, candidate.name, outcome, tookMs, reason);
    if (isSettled) forgive(candidate);
    if (outcome === 'unsupported') candidate.offer = null; // not tried until it is offered again
    if (!isBlamed(used, outcome, isSettled || nowMs - used.heardMs >= this.#timing.reprobeMs)) return;
    blame(candidate, nowMs, this.#timing, this.#random);
    if (this.#verdict === candidate && outcome !== 'drained') this.#judge(undefined);
  }

  /** What was due on the link that carries the session is late. The gateway may be gone: in its window only a poll goes out beside. */
  overdue(link: number, windowMs: number): void {
    [this.#overdue, this.#windowMs] = [this.#of(link), windowMs];
  }

  /** The gateway says when a transport may be tried again. */
  leaveAlone(transport: TransportName, untilMs: number): void {
    const candidate = this.#candidates.of(transport);
    if (candidate) candidate.notBeforeMs = Math.max(candidate.notBeforeMs, untilMs);
  }

  /** The gateway says what is on offer. */
  offered(nowMs: number, offers: readonly Offer[]): void {
    for (const { name } of this.#candidates.offerAll(offers)) {
      this.history.note(nowMs, name, 'unsupported', 0, 'the gateway does not offer it');
    }
    if (this.#verdict && offers.length) this.#hasNews = true; // a verdict keeps the newest offer
  }

  /** The gateway asks for one of these, at that time: none is probed before. Returns which it is to be. */
  asked(offers: readonly Offer[], atMs: number): TransportName | undefined {
    const asked = offers.flatMap(({ name }) => this.#candidates.of(name) ?? []);
    if (!asked[0]) return undefined;
    for (const offer of offers) if (offer.url || offer.certificateHashes?.length) this.#candidates.recall(offer);
    for (const { name } of asked) this.leaveAlone(name, atMs);
    this.#candidates.asked = asked;
    this.#isAsked = true;
    return asked[0].name;
  }

  /** The application asks for one by name, and wants to stay on it. */
  pin(transport: TransportName): void {
    this.#candidates.pinned = this.#candidates.of(transport);
  }

  /** Another session: what the gateway asked of the last one is over. */
  beginAnew(): void {
    this.#candidates.asked = [];
  }

  /** There is no network: nothing new is tried, and nothing beside a link that falls silent, before it has changed. */
  offline(): void {
    this.#isOffline = true;
  }

  /** The network is another one. */
  networkChanged(): void {
    this.#isOffline = false;
    this.#candidates.forgiveAll();
    this.pace = new Pace();
    this.#windowMs = this.#risesAtMs = 0;
  }

  /** Whether a link is begun, or waits to say hello, that may still carry a session which has no other. */
  goesOn(isAdvised: boolean, isAlive: IsAlive): boolean {
    this.#uses = this.#uses.filter(({ link }) => isAlive(link));
    if (!this.#opening) return false;
    // Where the gateway has said when to come back, nobody else is sent in before that.
    if (isAdvised) return this.#uses.some(({ carries }) => carries);
    return this.#joinsAt() === -Infinity || this.#uses.some(({ carries, reached }) => carries || reached === OPENED);
  }

  /** A verdict to remember, or to forget, once; `undefined` where there is nothing new. */
  pollVerdict(wallMs: number): { readonly verdict: Verdict | undefined } | undefined {
    if (!this.#hasNews) return undefined;
    this.#hasNews = false;
    const best = this.#verdict;
    return { verdict: best && { transport: best.name, offer: best.offer ?? undefined, atMs: wallMs } };
  }

  /** The next thing to do by now. `isAlive` says which links are still there: the others ended without a word. */
  decide(nowMs: number, isAlive: IsAlive): Decision | undefined {
    for (const { link } of this.#uses) if (this.#active && !isAlive(link)) this.ended(nowMs, link, 'late', 'another was faster');
    this.#uses = this.#uses.filter(({ link }) => isAlive(link));
    if (this.#active) return this.#decideUp(nowMs, this.#active);
    const overdue = this.#overdue;
    this.#overdue = undefined;
    // One that was never confirmed: there is nothing to keep beside a hedge.
    if (overdue) return drop(overdue, 'silent');
    return this.#opening && this.#decideOpening(nowMs, this.#opening);
  }

  /** When there is something to decide though nothing happens; `Infinity` where never. */
  deadline(): number {
    const next = this.#opening?.isCold || this.#active ? this.#nextProbe() : undefined;
    return Math.min(next?.atMs ?? Infinity, this.#joinsAt(), ...this.#uses.map((used) => expiresAt(used, this.#timing)));
  }

  #decideOpening(nowMs: number, opening: Opening): Decision | undefined {
    const { lead } = opening;
    if (lead) {
      opening.lead = undefined;
      opening.hasJoined ||= isPolling(lead);
      return { do: 'carry', transport: lead.name };
    }
    // Best first; a probe waits for the session that a carrier is about to bring, unless there is none.
    const isCarried = this.#uses.some(({ carries }) => carries);
    const [best] = this.#uses
      .filter(({ carries, reached }) => reached === OPENED && (carries || !isCarried))
      .sort((a, b) => this.#rank(a) - this.#rank(b));
    if (best) return greet(nowMs, best, true);
    const polling = this.#candidates.polling();
    if (polling && this.#joinsAt() <= nowMs) {
      opening.hasJoined = true;
      return { do: 'carry', transport: polling.name };
    }
    // Where polling is not wanted, whoever stands first opens the session.
    return this.#giveUp(nowMs) ?? (opening.isCold ? this.#raise(nowMs, polling ? 'probe' : 'carry') : undefined);
  }

  #decideUp(nowMs: number, active: Use): Decision | undefined {
    const overdue = this.#overdue;
    if (overdue) {
      this.#overdue = undefined;
      const polling = this.#raises() && overdue === active && this.#candidates.polling();
      if (!polling || this.#hedged === overdue) return drop(overdue, 'silent');
      this.#hedged = overdue;
      return { do: 'carry', transport: polling.name };
    }
    // Late is what is no better than the link there is, and a stream whose attach another has overtaken: as a probe it
    // may be tried anew. A poll is on its way to take over.
    const rank = this.#rank(active);
    const late = this.#uses.find(
      (used) => used !== active && (used.carries ? !isPolling(used.candidate) : this.#rank(used) > rank),
    );
    if (late) return drop(late, 'late');
    const opened = this.#uses.find(({ reached }) => reached === OPENED);
    if (opened) return greet(nowMs, opened, false);
    return this.#giveUp(nowMs) ?? this.#raise(nowMs, 'probe');
  }

  /** Opens the next better transport, if it is time. */
  #raise(nowMs: number, how: 'probe' | 'carry'): Decision | undefined {
    const next = this.#nextProbe();
    return next && next.atMs <= nowMs ? { do: how, transport: next.transport } : undefined;
  }

  /** Drops the first probe whose patience is over. */
  #giveUp(nowMs: number): Decision | undefined {
    const expired = this.#uses.find((used) => expiresAt(used, this.#timing) <= nowMs);
    return expired && drop(expired, expiry(expired));
  }

  /** When a poll joins a lead that stays silent: `-Infinity` for at once. */
  #joinsAt(): number {
    const opening = this.#opening;
    if (!opening || opening.hasJoined || !this.#candidates.polling()) return Infinity;
    const hasFailed = !opening.lead && !this.#uses.some(({ carries }) => carries);
    return opening.joinsFailed && hasFailed ? -Infinity : opening.quietSinceMs + opening.joinMs;
  }

  /** The next transport to probe, and when: the better ones, best first, each a little after the one before; what failed lately last. None beside a poll whose silent link is gone. */
  #nextProbe(): { readonly transport: TransportName; readonly atMs: number } | undefined {
    if (!this.#raises() || (this.#active && !this.#uses.includes(this.#active))) return undefined;
    const better = this.#candidates.order().slice(0, this.#active && this.#rank(this.#active));
    const busyMs = this.#uses.map((used) => busyUntil(used, this.#timing));
    const [next] = better
      .filter((candidate) => !this.#uses.some((used) => used.candidate === candidate))
      // While there is no session, an event stream has no token to state.
      .filter(({ isDuplex }) => !this.#opening || isDuplex)
      .sort((a, b) => a.notBeforeMs - b.notBeforeMs);
    return next && { transport: next.name, atMs: Math.max(next.notBeforeMs, this.#risesAtMs, ...busyMs) };
  }

  /** Whether a link may be opened beside another. */
  #raises(): boolean {
    return this.#negotiates && !this.#isOffline;
  }

  /** Its transport's place in the order; past the end where it has none. */
  #rank({ candidate }: Use): number {
    const rank = this.#candidates.order().indexOf(candidate);
    return rank < 0 ? Infinity : rank;
  }

  /** Remembers what is best, or that nothing is. */
  #judge(verdict: Candidate | undefined): void {
    this.#verdict = verdict;
    this.#hasNews = true;
  }

  #of(link: number): Use | undefined {
    return this.#uses.find((used) => used.link === link);
  }
}
