/**
 * A gateway in memory, for tests of applications: it speaks the protocol's frames to as many clients as there are, over
 * links that end in it, and does what the test says. With a `ManualClock` and a `random` that repeats itself, everything
 * happens at the same time in each run.
 */

import type { Reply } from '../channel.js';
import type {
  AttemptOutcome,
  Command,
  DownFrame,
  Hello,
  Member,
  Position,
  Presence,
  ReplyError,
  TransportName,
  Tried,
  UpFrame,
} from '../protocol.js';
import { payloadOf } from '../payload.js';
import type { ThroughlineError } from '../errors.js';
import type { Transport } from '../transports/transport.js';
import { Answers } from './answers.js';
import { FakeChannel } from './channel.js';
import { fakeTransport, type Door, type FakeLink } from './link.js';
import type { Admitted, FakeGatewayOptions, Handler, PublishOptions, Refusal } from './options.js';
import { FakeSession, frameOf, type Broker } from './session.js';

/** What a `send` is answered. */
type Answer = { readonly ok: boolean; readonly error?: ReplyError } & Reply;

/** How long a poll is held. */
const HOLD_MS = 25_000;

/** A gateway in memory. */
export class FakeGateway {
  /** For `connect`: WebSocket, event streams and polling that end in this gateway. */
  readonly transports: readonly Transport[];
  /** What clients told of their attempts. */
  readonly tried: Tried[] = [];

  readonly #options: FakeGatewayOptions;
  readonly #channels = new Map<string, FakeChannel>();
  readonly #sessions = new Map<string, FakeSession>();
  readonly #links = new Set<FakeLink>();
  readonly #owners = new Map<FakeLink, FakeSession>();
  readonly #blocked = new Map<TransportName, { readonly outcome: AttemptOutcome; readonly reason: string }>();
  readonly #broker: Broker;
  readonly #forbidden = new Set<string>();
  readonly #answers: Answers<Answer>;
  #refusal: Refusal | undefined;
  #handler: Handler | undefined;
  #made = 0;
  #linked = 0;

  constructor(options: FakeGatewayOptions) {
    this.#options = options;
    const { clock, latencyMs = 0 } = options;
    this.#answers = new Answers(clock);
    const door: Door = {
      clock,
      latencyMs,
      blocked: (transport) => this.#blocked.get(transport),
      handle: (link, message, attach) => this.#handle(link, message, attach),
      handlePost: (message) => this.#handlePost(message),
      opened: (link) => {
        link.name = ++this.#linked;
        this.#links.add(link);
      },
      gone: (link) => this.#gone(link),
    };
    this.transports = (['websocket', 'sse', 'polling'] as const).map((name) => fakeTransport(name, door));
    this.#broker = {
      channel: (name) => this.#channel(name),
      after: (ms, then) => clock.after(ms, then),
      handle: (session, send, reply) => {
        const whose = session.user === undefined ? `session ${session.id}` : `user ${session.user}`;
        void this.#answers.once(whose, send.id, () => this.#carryOut(session, send)).then(reply);
      },
      isForbidden: (channel) => this.#forbidden.has(channel),
      isFull: (channel) => this.#channel(channel).members.size >= (options.members ?? 1_000),
      tellPresence: (change, except) => this.#tellPresence(change, except),
    };
  }

  /** The public ids of the sessions there are. */
  get sessions(): readonly string[] {
    return [...this.#sessions.values()].map(({ id }) => id);
  }

  /** What the links that stand are, those of probes included. */
  get links(): readonly TransportName[] {
    return [...this.#links].map(({ transport }) => transport);
  }

  /** Where a channel stands. */
  position(channel: string): Position {
    return this.#channel(channel).position;
  }

  /** Who takes part in a channel's presence. */
  members(channel: string): readonly Member[] {
    return [...this.#channel(channel).members.values()];
  }

  /** Publishes JSON, or bytes where it is a `Uint8Array`. */
  publish(channel: string, data?: unknown, options: PublishOptions = {}): Position {
    const position = this.#channel(channel).publish({ ...payloadOf(data), ...options }, this.#options.clock.wall());
    this.#flush();
    return position;
  }

  /** Says something that is not kept, as the application. */
  publishVolatile(channel: string, data?: unknown, { name }: { readonly name?: string } = {}): void {
    const { clock } = this.#options;
    for (const session of this.#sessions.values()) {
      if (session.holds(channel)) {
        const said = { ...payloadOf(data), ...(name !== undefined && { name }) };
        session.active?.say([{ type: 'volatile', channel, time: clock.wall(), seq: ++this.#made, ...said }]);
      }
    }
  }

  /**
   * Handles what clients send, one at a time in each channel: what it returns is the reply, what it throws a rejection (a
   * `Rejected` as it is). By default a `send` is published to its channel, with its sender.
   */
  onSend(handler: Handler): void {
    this.#handler = handler;
  }

  /** Subscribes a session to a channel, as a server does on its own. */
  subscribe(session: string, channel: string): void {
    for (const held of this.#sessions.values()) {
      if (held.id !== session || held.holds(channel)) continue;
      held.takeUp({ [channel]: this.#channel(channel).position });
      held.flush();
    }
  }

  /** Nobody may hold a channel from now on: whoever does is told that its subscription is revoked. */
  forbid(channel: string): void {
    this.#forbidden.add(channel);
    for (const session of this.#sessions.values()) session.revoke(channel);
    this.#flush();
  }

  /** So many events of a channel cannot be had: a gap. With `newEpoch` it begins anew; `conflated`: what is published next stands for them. */
  gap(channel: string, how: { readonly events?: number; readonly newEpoch?: boolean; readonly conflated?: boolean } = {}): void {
    const { events = 1, newEpoch = false, conflated = false } = how;
    const log = this.#channel(channel);
    if (newEpoch) log.beginAnew();
    else log.lose(events, conflated ? 'conflated' : 'trimmed');
    this.#flush();
  }

  /** Cuts every link, as a failing network does. */
  cut(): void {
    for (const link of [...this.#links]) link.cut();
  }

  /** No link of this transport can be opened from now on, and those that are are cut; `unblock` ends it. */
  block(transport: TransportName, how: { readonly outcome?: AttemptOutcome; readonly reason?: string } = {}): void {
    this.#blocked.set(transport, { outcome: 'refused', reason: 'refused with status 403', ...how });
    for (const link of [...this.#links]) if (link.transport === transport) link.cut();
  }

  unblock(transport: TransportName): void {
    this.#blocked.delete(transport);
  }

  /** Turns away whoever comes from now on, with this advice, until `accept`. */
  refuse(refusal: Refusal = {}): void {
    this.#refusal = refusal;
  }

  accept(): void {
    this.#refusal = undefined;
  }

  /** Tells every link to come back, as a gateway does that stops. */
  drain({ delayMs = 0, spreadMs = 0 }: { readonly delayMs?: number; readonly spreadMs?: number } = {}): void {
    for (const link of this.#owners.keys()) this.#turnAway(link, { type: 'retry', delayMs, spreadMs, reason: 'drain' }, 4000);
  }

  /** Asks every session to move to one of these transports. */
  migrate(...transports: readonly TransportName[]): void {
    const asked: DownFrame = { type: 'migrate', transports: transports.map((name) => ({ name })), delayMs: 0, spreadMs: 0 };
    for (const session of this.#sessions.values()) session.active?.say([asked]);
  }

  /** Ends every session, and says so for good. */
  disconnect(reason = 'disconnected'): void {
    const links = [...this.#owners.keys()];
    this.#forget();
    for (const link of links) this.#turnAway(link, { type: 'retry', delayMs: 0, spreadMs: 0, reason, final: true }, 4301);
  }

  /** Forgets every session and cuts their links, as a gateway does that died. Channels stay. */
  loseSessions(): void {
    this.#answers.forget();
    this.#forget();
    this.cut();
  }

  #forget(): void {
    for (const session of this.#sessions.values()) session.end();
    this.#sessions.clear();
  }

  #channel(name: string): FakeChannel {
    const channel = this.#channels.get(name) ?? new FakeChannel(name);
    this.#channels.set(name, channel);
    return channel;
  }

  #flush(): void {
    for (const session of this.#sessions.values()) session.flush();
  }

  #gone(link: FakeLink): void {
    const session = this.#owners.get(link);
    if (session?.active === link) session.detach();
    this.#owners.delete(link);
    this.#links.delete(link);
  }

  #handle(link: FakeLink, message: readonly UpFrame[], attach?: number): void {
    if (attach !== undefined) link.polls = attach;
    const hello = frameOf(message, 'hello');
    const head = hello ? this.#greet(link, hello) : [];
    // What travels behind a hello that opens another session is dropped (C7).
    const session = this.#owners.get(link);
    if (!head || !session) return;
    const isLost = !!hello?.resume && hello.resume.token !== session.token;
    const answers = [...head, ...this.#read(link, session, isLost ? [] : message)];
    const hasCommands = !isLost && !!frameOf(message, 'commands');
    // A stream has its welcome in a message of its own.
    if (!link.isPolling && head.length) link.say(answers.splice(0));
    if (session.active === link) session.flush(answers, hasCommands);
    else if (answers.length) link.say(answers);
    if (link.polls !== undefined) this.#hold(link, session, link.polls);
  }

  #handlePost(message: readonly UpFrame[]): readonly DownFrame[] {
    const named = frameOf(message, 'session');
    const session = [...this.#sessions.values()].find(({ token }) => token === named?.token);
    if (!named || !session) return [error('session_ended')];
    if (named.incarnation !== session.incarnation) return [error('incarnation_mismatch')];
    const link = [...this.#links].find(({ name }) => name === named.link);
    const answers = this.#read(link, session, message);
    session.flush();
    return [...answers, { type: 'ack', upTo: session.received }];
  }

  /** What a `hello` is answered with; nothing where the link was turned away. */
  #greet(link: FakeLink, hello: Hello): DownFrame[] | undefined {
    const { resume, attach, instance } = hello;
    const { authenticate } = this.#options;
    const user: Admitted | undefined = authenticate ? authenticate(hello.auth) : {};
    const turnAway = (reason: string, code: number, { delayMs = 0, spreadMs = 0, final = false }: Refusal = {}): undefined => {
      this.#turnAway(link, { type: 'retry', delayMs, spreadMs, reason, ...(final && { final }) }, code);
      return undefined;
    };
    if (this.#refusal) { turnAway(this.#refusal.reason ?? 'overload', 4001, { delayMs: 1_000, ...this.#refusal }); return; }
    if (!user) { turnAway('unauthorized', 4200, { final: true }); return; }

    const known = resume && this.#sessions.get(resume.token);
    if (resume && !known && !resume.positions) { turnAway('positions', 4003); return; }
    const made = known ?? this.#open(hello, user.user);
    if (!known) made.takeUp(resume?.positions ?? {});
    else if (attach !== undefined && attach <= known.attach) { turnAway('superseded', 4300); return; }
    else if (!known.knows(resume, instance)) {
      if (!resume.positions || attach === undefined) { turnAway('positions', 4003); return; }
      known.rebuild(hello, resume);
    }
    this.#owners.set(link, made);
    const isFirst = made.incarnation !== resume?.incarnation || !known;
    const expiry = user.expiresInMs === undefined ? {} : { authExpiresInMs: user.expiresInMs };
    if (attach !== undefined) made.activate(link, attach, known ? resume.after : 0);
    const reason = resume && !known ? 'session_unknown' : undefined;
    const welcome = { ...made.welcome(!!known, reason, this.#options.clock.wall()), link: link.name, ...expiry } as DownFrame;
    if (link.isPolling) return isFirst || hello.client ? [welcome] : [];
    link.nonce = link.name;
    return [welcome, { type: 'ping', nonce: link.nonce, windowMs: 0 }];
  }

  #open({ instance }: Hello, user: string | undefined): FakeSession {
    const session = new FakeSession(`session${++this.#made}`, user, instance, this.#broker);
    this.#sessions.set(session.token, session);
    return session;
  }

  /** Takes the frames behind the first; what they are answered with at once. */
  #read(link: FakeLink | undefined, session: FakeSession, message: readonly UpFrame[]): DownFrame[] {
    const answers: DownFrame[] = [];
    for (const frame of message) {
      switch (frame.type) {
        case 'commands':
          session.take(frame.first, frame.items);
          if (frame.ack !== undefined) session.acknowledge(frame.ack);
          break;
        case 'ack':
          session.acknowledge(frame.upTo);
          break;
        case 'ping':
          answers.push({ type: 'pong', windowMs: 0, ...(frame.nonce !== undefined && { nonce: frame.nonce }) });
          break;
        case 'pong':
          if (link && frame.nonce === link.nonce) link.isProven = true;
          break;
        case 'attach':
          if (link?.isProven && frame.number > session.attach) session.activate(link, frame.number, frame.after);
          break;
        case 'volatile':
          this.#relay(session, frame);
          break;
        case 'tried':
          this.tried.push(frame);
          break;
        case 'bye':
          session.end();
          this.#sessions.delete(session.token);
          if (session.active?.isPolling) session.active.say([]);
          else session.active?.end({ kind: 'closed', code: 1000 });
          break;
        default:
      }
    }
    return answers;
  }

  #hold(link: FakeLink, session: FakeSession, attach: number): void {
    link.release();
    link.release = this.#options.clock.after(HOLD_MS, () => {
      if (link.polls === attach) link.say([{ type: 'ack', upTo: session.received }]);
    });
  }

  #turnAway(link: FakeLink, retry: DownFrame, code: number): void {
    const fault = code === 4200 ? [error('unauthorized')] : [];
    link.say([...fault, retry]);
    if (!link.isPolling) link.end({ kind: 'closed', code });
  }

  #relay(from: FakeSession, { channel, name, seq, data, bytes }: Extract<UpFrame, { type: 'volatile' }>): void {
    if (!from.holds(channel)) return;
    const sender = senderOf(from);
    for (const session of this.#sessions.values()) {
      if (session === from || !session.holds(channel)) continue;
      const time = this.#options.clock.wall();
      session.active?.say([
        {
          type: 'volatile',
          channel,
          time,
          seq,
          sender,
          ...(name !== undefined && { name }),
          ...(data !== undefined && { data }),
          ...(bytes && { bytes }),
        },
      ]);
    }
  }

  #tellPresence(change: Presence, except: FakeSession): void {
    for (const session of this.#sessions.values()) {
      if (session === except || !this.#channel(change.channel).members.has(session.id)) continue;
      session.push(change);
      session.flush();
    }
  }

  async #carryOut(session: FakeSession, send: Extract<Command, { type: 'send' }>): Promise<Answer> {
    const { type: _, ...sent } = send;
    const who = senderOf(session);
    try {
      if (this.#handler) return { ok: true, ...(await this.#handler({ ...sent, ...who })) };
      const { channel, id: __, ...published } = sent;
      const position = this.#channel(channel).publish({ ...published, sender: who }, this.#options.clock.wall());
      queueMicrotask(() => this.#flush());
      return { ok: true, position };
    } catch (failure) {
      const { code = 'handler_failed', message, retryable = true } = failure as Partial<ThroughlineError> & { message: string; retryable?: boolean };
      return { ok: false, error: { code, message, retryable } };
    }
  }
}

function senderOf({ id, user }: FakeSession): { session: string; user?: string } {
  return { session: id, ...(user !== undefined && { user }) };
}

function error(code: string): DownFrame {
  return { type: 'error', code, message: code, fatal: true };
}
