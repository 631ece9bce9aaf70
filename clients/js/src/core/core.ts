/**
 * What a client must think, without I/O: no socket, no clock, no randomness of its own. The Rust client's `core` in another
 * language; rules are cited by their number in docs/protocol.md (L1, C2, N4 …).
 *
 * Whoever drives it changes it with as many `handle*` calls and wishes as there is news, then calls `settle` once, then
 * drains `pollOutput` and `pollIncoming`, then sleeps until the next news or `deadline`. What is not drained counts as not
 * taken: where something was, `settle` is called once more. Times are `Clock.now`'s. A `settle` that comes much later than
 * `deadline` said is a page that slept.
 */

import type { Clock, Random } from '../clock.js';
import type { Command, DownFrame, Offer, TransportName, VolatileUp } from '../protocol.js';
import type { End } from '../transports/transport.js';
import { begin, type Conversation, isOver } from './conversation.js';
import { handleAlive, handleAnswer, handleFrames } from './down.js';
import { close, expire, handleEnded, waitIfAlone } from './ending.js';
import type { Link } from './link.js';
import { attempt, moveIfDue, negotiate } from './opening.js';
import type { Attempt, CoreState, Incoming, Output, Saved, Verdict } from './output.js';
import { handlePosted } from './post.js';
import type { Timing } from './timing.js';
import { linkDeadline, speak } from './up.js';
import { authenticate, command, disown, freeze, goOffline, hide, migrate, networkChanged, sayVolatile } from './wishes.js';

export interface CoreOptions {
  /** In order of preference, each with whether it is duplex, and why this platform does not have it. */
  readonly transports: readonly { readonly name: TransportName; readonly isDuplex: boolean; readonly missing?: string | undefined }[];
  /** Whether better transports are probed; otherwise the first alone is used, the next when it fails. */
  readonly negotiates: boolean;
  /** Whether the gateway is called by `https`, so that WebTransport needs no offer. */
  readonly isSecure: boolean;
  readonly client: { readonly name: string; readonly version: string };
  readonly timing: Timing;
  /** What worked with this gateway before. */
  readonly verdict?: Verdict | undefined;
  /**
   * The session of the page before this one. Each `send` in its `commands` that has no reply, and each number in `unkept`,
   * is settled under a ticket of its own: minus its number.
   */
  readonly saved?: Saved | undefined;
  /** The session's first credentials. With `needsAuth` and none, nothing is opened before `authenticate`. */
  readonly auth?: string | undefined;
  readonly needsAuth?: boolean;
  /** How many commands may wait for a reply before `hasRoom` is false. */
  readonly commands: number;
  readonly random: Random;
  readonly nowMs: number;
  /** The time of day: what it is compared with outlives a page, and goes on while a machine sleeps. */
  readonly wall: Clock['wall'];
}

/** What a core is to whoever drives it. */
export interface CoreLike {
  readonly state: CoreState;
  readonly hasRoom: boolean;
  readonly isClosed: boolean;
  /** The public id of the session, once there is one. */
  readonly session: string | undefined;
  readonly user: string | undefined;
  /** When the credentials are over (`Clock.now`), as the gateway said; `Infinity` where it said nothing. */
  readonly authExpiresAtMs: number;
  /** Why the session is on what it is on, for a person; empty before a link was up. */
  readonly why: string;
  /** What was tried lately, oldest first: at most 32. */
  readonly history: readonly Attempt[];
  readonly offers: readonly Offer[];
  /** When a transport may be tried again (`Clock.now`): in the past where it is not left alone. */
  notBefore(transport: TransportName): number;
  /** The newest link that is attached, where things are said; to cut it in a test. */
  readonly active: number | undefined;
  /** The one that `state` names. */
  readonly carrier: number | undefined;
  /** What the next page needs; nothing where there is neither a session nor a send, nor once the session is over. The same object unless it has to be written again. */
  readonly saved: Saved | undefined;

  // What the application wants.
  /** Numbers a command, which must not change any more: it may be said again. */
  command(nowMs: number, command: Command, ticket: number): void;
  volatile(nowMs: number, said: Omit<VolatileUp, 'type' | 'seq'>): boolean;
  migrate(nowMs: number, transport: TransportName, ticket: number): void;
  authenticate(nowMs: number, token: string | undefined): void;
  close(nowMs: number): void;
  /**
   * The oldest item that the application has not taken (a slow iterator), or `Infinity`: nothing from there on is acknowledged. A number of
   * the session that stands; when that is lost (`hear: 'lost'`), nothing is held back any more.
   */
  holdBack(nowMs: number, number: number): void;

  // What the world did.
  handleOpened(nowMs: number, link: number): void;
  handleFrames(nowMs: number, link: number, frames: readonly DownFrame[]): void;
  handleAlive(nowMs: number, link: number): void;
  handleAnswer(nowMs: number, link: number, attach: number, frames: readonly DownFrame[]): void;
  handlePosted(nowMs: number, link: number, post: number, answer: readonly DownFrame[] | string): void;
  handleEnded(nowMs: number, link: number, end: End): void;
  /** Another network, or a machine that woke: learnt failures are forgotten, the link is asked for a sign, a wait is cut short. */
  handleNetworkChanged(nowMs: number): void;
  /** There is no network: nothing is opened until there is one. */
  handleOffline(nowMs: number): void;
  /** The page is hidden and shares six connections with its origin: polls are not held, `hiddenPollMs` apart. */
  handleHidden(nowMs: number, isHidden: boolean): void;
  /** Every link was cut without a goodbye (the page goes to the cache); a `handleNetworkChanged` brings it back. */
  handleFrozen(nowMs: number): void;
  /** What was kept of the session is another page's by now: it is lost to this one, and whatever waits may have been said there. */
  handleDisowned(nowMs: number): void;

  settle(nowMs: number): void;
  pollOutput(): Output | undefined;
  pollIncoming(): Incoming | undefined;
  /** When `settle` has something to do though nothing happens; `Infinity` where never. */
  deadline(): number;
}

/** One session of one page. */
export function newCore(options: CoreOptions): CoreLike {
  const c = begin(options);
  let saved: Saved | undefined;
  let savedOf: readonly unknown[] = [];

  /** Something that changes the conversation. */
  const change =
    <About extends unknown[], Result>(change: (c: Conversation, ...about: About) => Result) =>
    (nowMs: number, ...about: About): Result => {
      c.now = nowMs;
      return change(c, ...about);
    };

  /** Something that is said of a link. Of one that is gone it means nothing. */
  const report = <About extends unknown[]>(report: (c: Conversation, link: Link, ...about: About) => void) =>
    change((c, key: number, ...about: About) => {
      const link = c.links.get(key);
      if (link) report(c, link, ...about);
    });

  function deadline(): number {
    if (c.standing === 'closing') return c.untilMs;
    if (c.standing === 'closed' || c.standing === 'unauthorized') return Infinity;
    const attemptMs = c.standing === 'waiting' && !c.paused ? c.untilMs : Infinity;
    const links = [...c.links.values()].map((link) => linkDeadline(c, link));
    return Math.min(attemptMs, c.planned?.atMs ?? Infinity, c.negotiation.deadline(), ...links);
  }

  return {
    command: change(command),
    volatile: change(sayVolatile),
    migrate: change(migrate),
    authenticate: change(authenticate),
    close: change(close),
    holdBack: change(({ inbox }, number) => void (inbox.held = number)),
    handleOpened: report((c, { key }) => c.negotiation.opened(c.now, key)),
    handleFrames: report(handleFrames),
    handleAlive: report(handleAlive),
    handleAnswer: report(handleAnswer),
    handlePosted: report(handlePosted),
    handleEnded: report(handleEnded),
    handleNetworkChanged: change(networkChanged),
    handleOffline: change(goOffline),
    handleHidden: change(hide),
    handleFrozen: change(freeze),
    handleDisowned: change(disown),

    get state() {
      return stateOf(c);
    },
    get hasRoom() {
      return c.outbox.next - c.outbox.low < Math.max(options.commands, 1);
    },
    get isClosed() {
      return c.standing === 'closed';
    },
    get session() {
      return c.known?.session;
    },
    get user() {
      return c.known?.user;
    },
    get authExpiresAtMs() {
      return c.authExpiresAtMs;
    },
    get why() {
      return c.negotiation.why;
    },
    get history() {
      return c.negotiation.history.attempts;
    },
    get offers() {
      return c.offers;
    },
    notBefore: (transport) => c.negotiation.notBefore(transport),
    get active() {
      return c.active?.key;
    },
    get carrier() {
      return carrierOf(c)?.key;
    },
    get saved() {
      const { known, outbox, inbox, attach } = c;
      if (isOver(c)) return undefined;
      if (savedOf[0] !== known || savedOf[1] !== outbox.revision) {
        savedOf = [known, outbox.revision];
        const kept = outbox.save(!!known);
        const isWorth = !!known || kept.commands.length > 0;
        saved = isWorth ? { known, attach, after: inbox.received, ...kept } : undefined;
      }
      return saved;
    },

    settle: change(() => {
      expire(c);
      while (!isOver(c) && c.standing !== 'unauthorized') {
        if (isDue(c)) attempt(c);
        moveIfDue(c);
        negotiate(c);
        waitIfAlone(c);
        // What was given up may have to be replaced at once.
        if (isDue(c)) continue;
        speak(c);
        break;
      }
      const news = c.negotiation.pollVerdict(options.wall());
      if (news) c.outputs.push({ do: 'remember', verdict: news.verdict });
      c.dueMs = Math.max(c.now, deadline());
    }),
    pollOutput: () => c.outputs.shift(),
    pollIncoming: () => c.inbox.poll(),
    deadline,
  };
}

function stateOf(c: Conversation): CoreState {
  const { standing, active, attempts, reason, wasUp, paused, untilMs, now } = c;
  const attempt = attempts + 1;
  if (isOver(c)) return { name: 'closed', reason };
  if (standing === 'up' && active) return { name: 'live', transport: carrierOf(c)?.transport ?? active.transport };
  if (standing === 'unauthorized') return { name: 'waiting', reason, attempt, retryAtMs: undefined };
  if (standing === 'waiting') {
    if (paused) return { name: 'waiting', reason: paused, attempt, retryAtMs: undefined };
    if (untilMs > now) return { name: 'waiting', reason, attempt, retryAtMs: untilMs };
  }
  return wasUp ? { name: 'recovering', reason, attempt } : { name: 'connecting', attempt };
}

/** A link whose attach nothing has confirmed may yet come to nothing: until then the one before it carries the session. */
const carrierOf = ({ links, active }: Conversation): Link | undefined =>
  active?.confirmed ? active : ([...links.values()].find(({ confirmed }) => confirmed) ?? active);

const isDue = ({ standing, paused, untilMs, now }: Conversation): boolean => standing === 'waiting' && !paused && untilMs <= now;
