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
 * `ended` …), and carries out what `decide` says until it says nothing more. Links are named by numbers that rise.
 */

import type { Random } from '../../clock.js';
import type { AttemptOutcome, Offer, TransportName } from '../../protocol.js';
import type { Verdict } from '../output.js';
import type { Timing } from '../timing.js';
import { Candidates, type Listed } from './candidates.js';
import { History } from './history.js';
import { Pace } from './pace.js';

/** What to do. */
export type Decision =
  /** Open a link to carry the session: its hello attaches. A poll beside a link that works is kept beside it until it is answered. */
  | { readonly do: 'carry'; readonly transport: TransportName }
  /** Open a link beside the one that works, or will: its hello does not attach. */
  | { readonly do: 'probe'; readonly transport: TransportName }
  /** Say hello on a link whose handshake is done. */
  | { readonly do: 'greet'; readonly link: number; readonly attach: boolean }
  /** Give a link up, which ended like this. */
  | { readonly do: 'drop'; readonly link: number; readonly outcome: AttemptOutcome };

export interface NegotiationOptions {
  /** In order of preference. */
  readonly transports: readonly Listed[];
  /** Whether more than one link at a time is wanted at all. */
  readonly negotiates: boolean;
  readonly isSecure: boolean;
  readonly timing: Timing;
  /** What worked with this gateway before, however old. */
  readonly verdict?: Verdict | undefined;
  readonly random: Random;
  readonly nowMs: number;
  /** Milliseconds since the Unix epoch at `nowMs`. */
  readonly wallMs: number;
}

/** How long a verdict counts: networks change, and so do gateways. */
const VALID_MS = 24 * 60 * 60 * 1_000;

// How far a link has come.
/** It is being opened. */
const BEGUN = 0;
/** Its handshake is done, and nothing said. */
const OPENED = 1;
/** Its hello is said. */
const GREETED = 2;
/** A welcome has come down it. */
const WELCOMED = 3;
/** It carries the session, and that was confirmed. */
const UP = 4;

/** A link, as far as it matters here. */
interface Use {
  readonly transport: TransportName;
  readonly sinceMs: number;
  /** Whether its hello attaches. */
  carries: boolean;
  reached: number;
  /** When it got there. */
  atMs: number;
  /** How long its handshake took. */
  handshakeMs: number;
}

/** No link carries the session yet. */
interface Opening {
  /** Nothing is known: a poll at once, and everything better raced beside it. Otherwise one leads. */
  readonly isCold: boolean;
  /** How long the lead may be silent before a poll joins it; `Infinity` where none does. */
  readonly joinMs: number;
  /** The poll does not even wait for that once the lead has failed. Whoever comes back does so one link at a time, as the gateway asks. */
  readonly joinsFailed: boolean;
  lead: TransportName | undefined;
  hasJoined: boolean;
  quietSinceMs: number;
}

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
  readonly #uses = new Map<number, Use>();
  // At most one of the two is there. Without either nothing is wanted: waiting, closed, or closing.
  #opening: Opening | undefined;
  /** The link that carries the session. */
  #active: number | undefined;
  /** What carried the session last. */
  #carried: TransportName | undefined;
  /** What was proven before this client was made, or has been since. */
  #verdict: TransportName | undefined;
  #hasNews = false;
  /** How far down the list the next attempt looks. */
  #rotation = 0;
  #isFirst = true;
  /** The gateway asked for the next move. */
  #isAsked = false;
  /** The link that is late with something, and the one that was hedged for it. */
  #overdue: number | undefined;
  #hedged: number | undefined;

  constructor({ transports, negotiates, isSecure, timing, verdict, random, nowMs, wallMs }: NegotiationOptions) {
    this.#negotiates = negotiates;
    this.#timing = timing;
    this.#random = random;
    this.#candidates = new Candidates(transports, isSecure);
    for (const { name, missing } of transports) {
      if (missing !== undefined) this.history.note(nowMs, name, 'unsupported', 0, missing);
    }
    // One from the future does not count either: the clock was set back.
    const ageMs = wallMs - (verdict?.atMs ?? NaN);
    if (verdict && ageMs >= 0 && ageMs < VALID_MS && this.isListed(verdict.transport)) {
      this.#verdict = verdict.transport;
      if (verdict.offer) this.#candidates.recall(verdict.offer);
    }
  }

  /** Whether the application listed this transport, and the platform has it. */
  isListed(transport: string): transport is TransportName {
    return this.#candidates.isListed(transport);
  }

  /** What the gateway last said of a transport. */
  offer(transport: TransportName): Offer | undefined {
    return this.#candidates.offer(transport);
  }

  /** When a transport may be tried again: in the past where it is not left alone. */
  notBefore(transport: TransportName): number {
    return this.#candidates.notBefore(transport);
  }

  /** Begins a round: the session has no link, and one is due now. `windowMs` is over how long all clients that lost this gateway come back. */
  attempt(nowMs: number, isKnown: boolean, windowMs: number): void {
    const isFirst = this.#isFirst && !isKnown && this.#negotiates;
    const remembered = isFirst ? this.#verdict : undefined;
    const isCold = isFirst && !remembered;
    this.#isFirst = false;
    this.#active = undefined;
    this.#opening = {
      isCold,
      // A gateway that a fleet comes back to is slow; it has enough to do with one connection each.
      joinMs: remembered
        ? this.#timing.joinFirstMs
        : isCold || !this.#negotiates
          ? Infinity
          : Math.max(this.pace.silence(this.#timing.joinBackMs), windowMs),
      joinsFailed: !!remembered,
      lead: remembered ?? (isCold ? (this.#candidates.polling() ?? this.#candidates.order()[0]) : this.#nextInTurn()),
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
    const reached = isGreeted ? GREETED : BEGUN;
    this.#uses.set(link, { transport, carries, sinceMs: nowMs, reached, atMs: nowMs, handshakeMs: 0 });
  }

  /** A link's handshake is done. */
  opened(nowMs: number, link: number): void {
    const used = this.#uses.get(link);
    if (used?.reached !== BEGUN) return;
    used.handshakeMs = nowMs - used.sinceMs;
    reach(used, OPENED, nowMs);
    this.heard(nowMs, link);
  }

  /** A welcome has come down a link. */
  welcomed(nowMs: number, link: number): void {
    const used = this.#uses.get(link);
    if (!used || used.reached >= WELCOMED) return;
    const tookMs = nowMs - used.atMs;
    if (used.transport === 'polling') this.pace.measureAtMost(tookMs);
    else if (used.handshakeMs) this.pace.measure(tookMs);
    reach(used, WELCOMED, nowMs);
  }

  /** Something was heard on a link. */
  heard(nowMs: number, link: number): void {
    if (this.#overdue === link) this.#overdue = undefined;
    // It was slow, and nothing came of the poll beside it: it may be hedged again.
    if (this.#hedged === link && !this.#find((used, other) => other !== link && used.carries)) this.#hedged = undefined;
    if (this.#opening && this.#uses.get(link)?.carries) this.#opening.quietSinceMs = nowMs;
  }

  /** A link carries the session, and that is confirmed: whatever carried it before is left. */
  up(nowMs: number, link: number): void {
    const used = this.#uses.get(link);
    if (!used) return;
    const tookMs = nowMs - used.sinceMs;
    reach(used, UP, nowMs);
    used.carries = true;
    const before = this.#active;
    if (before === link) return;
    this.#opening = undefined;
    this.#active = link;

    const left = before === undefined ? undefined : this.#uses.get(before);
    const isHedged = left && this.#hedged === before;
    this.why = !left
      ? 'it was welcomed first'
      : isHedged
        ? `${left.transport} fell silent`
        : this.#isAsked
          ? 'the gateway asked for it'
          : `it is proven, and preferred to ${left.transport}`;
    const { transport } = used;
    this.history.note(nowMs, transport, 'proven', tookMs, this.why);
    this.#carried = transport;
    this.#rotation = 0;
    // Whoever has not said hello yet says it as a probe.
    for (const other of this.#uses.values()) if (other.reached < GREETED) other.carries = false;
    if (before !== undefined) {
      if (isHedged) this.ended(nowMs, before, 'silent', 'what was due did not come, and a poll was answered');
      else if (this.#isAsked) this.ended(nowMs, before, 'drained', 'the gateway asked for the move');
      else this.ended(nowMs, before, 'preferred', 'another is preferred');
    }
    this.#isAsked = false;
    this.#hedged = this.#overdue = undefined;
    if (transport !== 'polling' && this.isListed(transport)) this.#judge(transport);
  }

  /** A newer link came to nothing, and an older one carries the session again. */
  fellBack(link: number): void {
    if (!this.#uses.has(link)) return;
    this.#opening = undefined;
    this.#active = link;
  }

  /** A link is over. */
  ended(nowMs: number, link: number, outcome: AttemptOutcome, reason: string): void {
    const used = this.#uses.get(link);
    if (!used) return;
    this.#uses.delete(link);
    if (this.#overdue === link) this.#overdue = undefined;
    const { transport, carries } = used;
    const wasUp = used.reached === UP;
    const tookMs = nowMs - (wasUp ? used.atMs : used.sinceMs);
    const isSettled = wasUp && tookMs >= this.#timing.settledMs;
    this.history.note(nowMs, transport, outcome, tookMs, reason);
    if (isSettled) this.#candidates.forgive(transport);
    if (outcome === 'unsupported') this.#candidates.withdraw(transport);
    if (transport === 'polling' || !isBlamed(outcome, wasUp, isSettled, carries)) return;
    this.#candidates.blame(nowMs, transport, this.#timing, this.#random);
    if (this.#verdict === transport && outcome !== 'drained') this.#judge(undefined);
  }

  /** Something that was due on the link that carries the session is late, and it did not answer when asked. */
  overdue(link: number): void {
    this.#overdue = link;
  }

  /** The gateway says when a transport may be tried again. */
  leaveAlone(transport: TransportName, untilMs: number): void {
    this.#candidates.leaveAlone(transport, untilMs);
  }

  /** The gateway says what is on offer. */
  offered(nowMs: number, offers: readonly Offer[]): void {
    for (const transport of this.#candidates.offerAll(offers)) {
      this.history.note(nowMs, transport, 'unsupported', 0, 'the gateway does not offer it');
    }
    // A verdict keeps the newest offer.
    if (this.#verdict && offers.length) this.#hasNews = true;
  }

  /** The gateway asks for one of these. Returns which it is to be. */
  asked(offers: readonly Offer[]): TransportName | undefined {
    const named = offers.map(({ name }) => name).filter((name) => this.isListed(name));
    if (!named.length) return undefined;
    for (const offer of offers) if (offer.url || offer.certificateHashes?.length) this.#candidates.recall(offer);
    this.#candidates.askFor(named);
    this.#isAsked = true;
    return named[0];
  }

  /** The application asks for one by name, and wants to stay on it. */
  pin(transport: TransportName): void {
    this.#candidates.pin(transport);
  }

  /** Another session: what the gateway asked of the last one is over. */
  beginAnew(): void {
    this.#candidates.askFor([]);
  }

  /** The network is another one. */
  networkChanged(): void {
    this.#candidates.forgiveAll();
    this.pace = new Pace();
  }

  /** Whether a link is begun, or waits to say hello, that may still carry a session which has no other. */
  goesOn(isAdvised: boolean, isAlive: IsAlive): boolean {
    for (const link of this.#gone(isAlive)) this.#uses.delete(link);
    if (!this.#opening) return false;
    if (!isAdvised && this.#joinsAt() === -Infinity) return true;
    // Where the gateway has said when to come back, nobody else is sent in before that.
    return this.#find((used) => used.carries || (!isAdvised && used.reached === OPENED)) !== undefined;
  }

  /** A verdict to remember, or to forget, once; `undefined` where there is nothing new. */
  pollVerdict(wallMs: number): { readonly verdict: Verdict | undefined } | undefined {
    if (!this.#hasNews) return undefined;
    this.#hasNews = false;
    const transport = this.#verdict;
    return { verdict: transport && { transport, offer: this.offer(transport), atMs: wallMs } };
  }

  /** The next thing to do by now. `isAlive` says which links are still there: the others ended without a word. */
  decide(nowMs: number, isAlive: IsAlive): Decision | undefined {
    for (const link of this.#gone(isAlive)) {
      if (this.#active !== undefined) this.ended(nowMs, link, 'late', 'another was faster');
      this.#uses.delete(link);
    }
    if (this.#active !== undefined) return this.#decideUp(nowMs, this.#active);
    const link = this.#overdue;
    this.#overdue = undefined;
    // One that was never confirmed: there is nothing to keep beside a hedge.
    if (link !== undefined) return { do: 'drop', link, outcome: 'silent' };
    return this.#opening && this.#decideOpening(nowMs, this.#opening);
  }

  /** When there is something to decide though nothing happens; `Infinity` where never. */
  deadline(): number {
    const isRacing = this.#opening?.isCold || this.#active !== undefined;
    const expiries = [...this.#uses.values()].map((used) => this.#expiresAt(used));
    return Math.min(isRacing ? (this.#nextProbe()?.atMs ?? Infinity) : Infinity, this.#joinsAt(), ...expiries);
  }

  #decideOpening(nowMs: number, opening: Opening): Decision | undefined {
    const transport = opening.lead;
    if (transport) {
      opening.lead = undefined;
      opening.hasJoined ||= transport === 'polling';
      return { do: 'carry', transport };
    }
    // Best first; a probe waits for the session that a carrier is about to bring, unless there is none.
    const isCarried = this.#find((used) => used.carries) !== undefined;
    const [best] = [...this.#uses]
      .filter(([, used]) => used.reached === OPENED && (used.carries || !isCarried))
      .sort(([, a], [, b]) => this.#rank(a) - this.#rank(b));
    if (best) return this.#greet(nowMs, best[0], true);
    const polling = this.#candidates.polling();
    if (polling && this.#joinsAt() <= nowMs) {
      opening.hasJoined = true;
      return { do: 'carry', transport: polling };
    }
    // Where polling is not wanted, whoever stands first opens the session.
    return this.#giveUp(nowMs) ?? (opening.isCold ? this.#raise(nowMs, polling ? 'probe' : 'carry') : undefined);
  }

  #decideUp(nowMs: number, active: number): Decision | undefined {
    const overdue = this.#overdue;
    if (overdue !== undefined) {
      this.#overdue = undefined;
      const polling = this.#negotiates && overdue === active && this.#candidates.polling();
      if (!polling || this.#hedged === overdue) return { do: 'drop', link: overdue, outcome: 'silent' };
      this.#hedged = overdue;
      return { do: 'carry', transport: polling };
    }
    // Late is what is no better than the link there is, and a stream whose attach another has overtaken: as a probe it
    // may be tried anew. A poll is on its way to take over.
    const rank = this.#rank(this.#uses.get(active));
    const late = this.#find(
      (used, link) => link !== active && (used.carries ? used.transport !== 'polling' : this.#rank(used) > rank),
    );
    if (late !== undefined) return { do: 'drop', link: late, outcome: 'late' };
    const opened = this.#find((used) => used.reached === OPENED);
    if (opened !== undefined) return this.#greet(nowMs, opened, false);
    return this.#giveUp(nowMs) ?? this.#raise(nowMs, 'probe');
  }

  /** Opens the next better transport, if it is time. */
  #raise(nowMs: number, how: 'probe' | 'carry'): Decision | undefined {
    const next = this.#nextProbe();
    return next && next.atMs <= nowMs ? { do: how, transport: next.transport } : undefined;
  }

  #greet(nowMs: number, link: number, attach: boolean): Decision {
    const used = this.#uses.get(link);
    if (used) {
      reach(used, GREETED, nowMs);
      used.carries = attach;
    }
    return { do: 'greet', link, attach };
  }

  /** Drops the first probe whose patience is over. */
  #giveUp(nowMs: number): Decision | undefined {
    const link = this.#find((used) => this.#expiresAt(used) <= nowMs);
    const used = link !== undefined && this.#uses.get(link);
    if (!used) return undefined;
    const unopened = used.transport === 'webtransport' ? 'blocked' : 'hung';
    const outcome = used.reached === BEGUN ? unopened : used.reached === WELCOMED ? 'buffered' : 'silent';
    return { do: 'drop', link, outcome };
  }

  #expiresAt({ carries, reached, atMs }: Use): number {
    // One that is opened waits for the session's token.
    if (carries || reached === OPENED || reached === UP) return Infinity;
    const { probeMs, staggerMs } = this.#timing;
    // Its transport gives up by itself after as long, and knows better why.
    return atMs + probeMs + (reached === BEGUN ? staggerMs : 0);
  }

  /** The lead of a round: what the session last ran on, then a poll, then everything else, one per attempt. */
  #nextInTurn(): TransportName | undefined {
    const carried = this.#carried;
    const isProven = carried && !(this.#negotiates && this.#candidates.isFailing(carried));
    const polling = this.#negotiates ? this.#candidates.polling() : undefined;
    const turns = new Set([isProven ? carried : undefined, polling, ...this.#candidates.order()]);
    turns.delete(undefined);
    return [...turns][this.#rotation % turns.size];
  }

  /** When a poll joins a lead that stays silent: `-Infinity` for at once. */
  #joinsAt(): number {
    const opening = this.#opening;
    if (!opening || opening.hasJoined || !this.#candidates.polling()) return Infinity;
    const hasFailed = !opening.lead && this.#find((used) => used.carries) === undefined;
    return opening.joinsFailed && hasFailed ? -Infinity : opening.quietSinceMs + opening.joinMs;
  }

  /** The next transport to probe, and when: the better ones, best first, each a little after the one before. */
  #nextProbe(): { readonly transport: TransportName; readonly atMs: number } | undefined {
    if (!this.#negotiates) return undefined;
    // While there is no session, an event stream has no token to state.
    const better = this.#candidates
      .order()
      .slice(0, this.#active === undefined ? Infinity : this.#rank(this.#uses.get(this.#active)))
      .filter((transport) => !this.#opening || this.#candidates.isDuplex(transport))
      .filter((transport) => this.#find((used) => used.transport === transport) === undefined);
    const staggeredMs = this.#staggeredUntil();
    return better
      .map((transport) => ({ transport, atMs: Math.max(this.notBefore(transport), staggeredMs) }))
      .sort((a, b) => a.atMs - b.atMs)[0];
  }

  /** Until when the probes that are under way have the network to themselves. */
  #staggeredUntil(): number {
    const probes = [...this.#uses.values()].filter((used) => used.reached < UP && used.transport !== 'polling');
    return Math.max(-Infinity, ...probes.map((used) => used.atMs + Math.max(this.#timing.staggerMs, used.handshakeMs)));
  }

  #rank(used: Use | undefined): number {
    return used ? this.#candidates.rank(used.transport) : Infinity;
  }

  /** Remembers what is best, or that nothing is. */
  #judge(verdict: TransportName | undefined): void {
    this.#verdict = verdict;
    this.#hasNews = true;
  }

  #gone(isAlive: IsAlive): number[] {
    return [...this.#uses.keys()].filter((link) => !isAlive(link));
  }

  /** The first link of which this holds. */
  #find(holds: (used: Use, link: number) => boolean): number | undefined {
    for (const [link, used] of this.#uses) if (holds(used, link)) return link;
    return undefined;
  }
}

function reach(used: Use, reached: number, nowMs: number): void {
  used.reached = reached;
  used.atMs = nowMs;
}

/** Whether an end like this is held against its transport (docs/negotiation.md, Blame). */
function isBlamed(outcome: AttemptOutcome, wasUp: boolean, isSettled: boolean, carried: boolean): boolean {
  switch (outcome) {
    case 'late':
    case 'preferred':
    case 'proven':
    case 'unsupported':
      return false;
    // A gateway that stops is no fault of the transport; a probe that it sends away must wait all the same.
    case 'drained':
      return !wasUp && !carried;
    case 'silent':
      return wasUp || !carried;
    // What broke after a long life is not to blame, nor what failed while nothing else worked.
    default:
      return wasUp ? !isSettled : !carried;
  }
}
