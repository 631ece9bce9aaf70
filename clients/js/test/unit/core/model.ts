/**
 * A small gateway for random schedules: numbers, acknowledgements, attach fencing, incarnations, probes, rebuilds, lost
 * sessions, presence. It keeps docs/protocol.md as strictly as it can and says what a client does against it. It leaves
 * out limits, credentials, retention, and whatever has to do with time but the holding of polls.
 */

import assert from 'node:assert/strict';

import type { Command, DownFrame, Hello, Item, Position, Send, UpFrame } from '../../../src/protocol.js';

/** How many events may be unacknowledged: few, so that a client which forgets to acknowledge stands still. */
const WINDOW = 8;

/** One connection or request, as the gateway sees it. */
export interface Peer {
  readonly isPoll: boolean;
  session: Session | undefined;
  attach: number;
  /** `welcome.link`. */
  name: number;
  nonce: number | undefined;
  isProven: boolean;
  /** The last item said on it. */
  sent: number;
  /** Says a message; the last one, where it is over then. */
  say(frames: readonly DownFrame[], isLast: boolean): void;
}

interface Held {
  offset: number;
  presence: boolean;
}

export class Session {
  incarnation = 1;
  attach = 0;
  active: Peer | undefined;
  readonly peers = new Map<number, Peer>();
  /** From `acked + 1` on. */
  items = new Map<number, Item>();
  next = 1;
  acked = 0;
  taken = 0;
  ahead = new Map<number, Command>();
  channels = new Map<string, Held>();
  /** C3: of each send that was carried out its reply, once there is one. */
  readonly results = new Map<number, Item | 'running'>();
  /** C7: until its client has shown that it knows it. */
  isMuted = false;

  constructor(
    readonly name: string,
    public instance: string,
  ) {}
}

export class Model {
  readonly logs = new Map<string, Item[]>();
  readonly sessions = new Map<string, Session>();
  /** How often each send was carried out, by what it says. */
  readonly executed = new Map<string, number>();
  #names = 0;

  /** `later` calls back after a while: a handler takes its time. */
  constructor(readonly later: (then: () => void) => void) {}

  publish(channel: string): void {
    const log = this.#log(channel);
    log.push({ type: 'event', channel, offset: log.length + 1, time: 0, data: log.length + 1 });
    for (const session of this.sessions.values()) this.#pump(session);
  }

  /** All sessions are gone; what was said is not. */
  restart(): void {
    for (const session of this.sessions.values()) {
      for (const peer of session.peers.values()) peer.say([], true);
    }
    this.sessions.clear();
  }

  /** A connection is gone, and the gateway knows. */
  gone(peer: Peer): void {
    const { session } = peer;
    session?.peers.delete(peer.name);
    if (session?.active === peer) session.active = undefined;
  }

  /** A message on a stream, or a poll. */
  receive(peer: Peer, [first, ...rest]: readonly UpFrame[]): void {
    if (first?.type === 'hello') {
      assert.ok(!peer.session, 'one hello on a link');
      return this.#hello(peer, first, rest);
    }
    assert.ok(first && peer.session, 'nothing before hello');
    this.#frames(peer.session, peer, [first, ...rest]);
  }

  /** A post, which is answered at once. */
  post([first, ...rest]: readonly UpFrame[]): DownFrame[] {
    assert.ok(first?.type === 'session');
    const session = this.sessions.get(first.token);
    const refusal = (code: string): DownFrame[] => [{ type: 'error', code, message: '', fatal: true }];
    if (!session) return refusal('session_ended');
    if (session.incarnation !== first.incarnation) return refusal('incarnation_mismatch');
    this.#frames(session, session.peers.get(first.link), rest);
    return [{ type: 'ack', upTo: session.taken }];
  }

  #frames(session: Session, peer: Peer | undefined, frames: readonly UpFrame[]): void {
    for (const frame of frames) {
      switch (frame.type) {
        case 'commands':
          if (frame.ack !== undefined) this.#ack(session, peer, frame.ack);
          this.#take(session, frame.first, frame.items);
          if (peer && peer === session.active) peer.say([{ type: 'ack', upTo: session.taken }], false);
          break;
        case 'ack':
          this.#ack(session, peer, frame.upTo);
          break;
        case 'pong':
          if (peer && frame.nonce !== undefined && frame.nonce === peer.nonce) {
            peer.isProven = true;
            session.isMuted = false;
          }
          break;
        case 'ping':
          peer?.say([{ type: 'pong' }], false);
          break;
        case 'attach':
          if (!peer) break;
          if (frame.number <= session.attach) {
            if (peer.attach !== session.attach) this.#end(peer, 'superseded');
            break;
          }
          assert.ok(peer.isProven, 'L10: attach before the nonce came back');
          this.#activate(session, peer, frame.number, frame.after);
          break;
        case 'hello':
          assert.fail('a second hello');
          break;
        default:
      }
    }
    this.#pump(session);
  }

  #hello(peer: Peer, hello: Hello, rest: readonly UpFrame[]): void {
    const { resume, instance } = hello;
    if (!resume) {
      assert.ok(hello.attach, 'a session is opened by an attach');
      assert.ok(
        rest.every((frame) => frame.type !== 'commands' || frame.items.every(({ type }) => type !== 'send')),
        'C5: a send in the message that opens a session',
      );
      const session = this.#open(instance);
      return this.#welcome(session, peer, hello, false, rest);
    }
    const session = this.sessions.get(resume.token);
    if (hello.attach === undefined) {
      if (session?.instance !== instance || session.incarnation !== resume.incarnation) return this.#end(peer, 'positions');
      this.#join(session, peer);
      return peer.say([this.#greeting(session, peer, true), this.#ping(peer)], false);
    }
    if (!session) {
      if (!resume.positions) return this.#end(peer, 'positions');
      const next = this.#open(instance);
      // C7: on a stream, until the nonce has come back.
      next.isMuted = !peer.isPoll;
      for (const [channel, position] of Object.entries(resume.positions)) this.#hold(next, channel, position, undefined);
      // C7: what travelled behind that hello is dropped always.
      return this.#welcome(next, peer, hello, false, []);
    }
    const isRepeated = peer.isPoll && hello.attach === session.attach && session.instance === instance;
    // L1, L2.
    if (hello.attach <= session.attach && !isRepeated) return this.#end(peer, 'superseded');
    const isSame =
      session.instance === instance && session.incarnation === resume.incarnation && resume.after < session.next && resume.after >= session.acked;
    if (isSame) return this.#welcome(session, peer, hello, true, rest);
    if (!resume.positions) return this.#end(peer, 'positions');
    // N3: rebuilt from what was stated.
    const before = session.channels;
    session.incarnation++;
    session.instance = instance;
    session.items = new Map();
    session.ahead = new Map();
    session.channels = new Map();
    session.next = resume.after + 1;
    session.acked = resume.after;
    session.taken = resume.low - 1;
    for (const other of [...session.peers.values()]) this.#end(other, 'superseded');
    for (const [channel, position] of Object.entries(resume.positions)) {
      assert.ok(before.has(channel) || position.epoch === 'e');
      this.#hold(session, channel, position, undefined);
    }
    this.#welcome(session, peer, hello, true, rest, true);
  }

  #open(instance: string): Session {
    const name = `session ${++this.#names}`;
    const session = new Session(name, instance);
    this.sessions.set(`token of ${name}`, session);
    return session;
  }

  #welcome(session: Session, peer: Peer, hello: Hello, isResumed: boolean, rest: readonly UpFrame[], isRebuilt = false): void {
    this.#join(session, peer);
    const says = !peer.isPoll || !!hello.client || !isResumed || isRebuilt;
    const greeting: DownFrame[] = says ? [this.#greeting(session, peer, isResumed)] : [];
    if (!peer.isPoll) greeting.push(this.#ping(peer));
    if (greeting.length) peer.say(greeting, false);
    this.#activate(session, peer, hello.attach ?? 0, isResumed && !isRebuilt ? (hello.resume?.after ?? 0) : session.acked);
    // A poll is a sign of its client.
    if (peer.isPoll) session.isMuted = false;
    this.#frames(session, peer, rest);
  }

  #greeting(session: Session, peer: Peer, isResumed: boolean): DownFrame {
    return {
      type: 'welcome',
      session: session.name,
      token: `token of ${session.name}`,
      incarnation: session.incarnation,
      link: peer.name,
      resumed: isResumed,
      ...(!isResumed && { reason: 'session_unknown' }),
      next: Math.min(session.next, session.acked + 1),
      received: session.taken,
      time: 0,
      heartbeatMs: 15_000,
      resumeWindowMs: 120_000,
      windowMs: 0,
      backoff: { baseMs: 1_000, capMs: 30_000 },
    };
  }

  #ping(peer: Peer): DownFrame {
    peer.nonce = ++this.#names;
    return { type: 'ping', nonce: peer.nonce };
  }

  #join(session: Session, peer: Peer): void {
    peer.session = session;
    peer.name = ++this.#names;
    session.peers.set(peer.name, peer);
  }

  /** L7: an attach ends every older link of the session. */
  #activate(session: Session, peer: Peer, attach: number, after: number): void {
    const before = session.active;
    session.attach = attach;
    session.active = peer;
    peer.attach = attach;
    if (before && before !== peer) {
      // L2: a copy of the same poll is answered with an empty message.
      if (before.isPoll && before.attach === attach) before.say([{ type: 'ack', upTo: session.taken }], true);
      else this.#end(before, 'superseded');
    }
    this.#acknowledge(session, after);
    // L3, L4.
    peer.sent = Math.max(after, session.acked);
  }

  #end(peer: Peer, reason: string): void {
    this.gone(peer);
    peer.say([{ type: 'retry', delayMs: 0, spreadMs: 0, reason }], true);
  }

  #ack(session: Session, peer: Peer | undefined, upTo: number): void {
    assert.ok(upTo < session.next, 'an acknowledgement of what was never sent');
    if (peer === session.active && !session.isMuted) this.#acknowledge(session, upTo);
  }

  #acknowledge(session: Session, upTo: number): void {
    for (let number = session.acked + 1; number <= upTo; number++) session.items.delete(number);
    session.acked = Math.max(session.acked, upTo);
  }

  #take(session: Session, first: number, items: readonly Command[]): void {
    if (session.isMuted) return;
    items.forEach((command, index) => {
      if (first + index > session.taken) session.ahead.set(first + index, command);
    });
    // C1: only the one after the last.
    for (let command = session.ahead.get(session.taken + 1); command; command = session.ahead.get(session.taken + 1)) {
      session.ahead.delete(++session.taken);
      this.#carryOut(session, session.taken, command);
    }
  }

  #carryOut(session: Session, number: number, command: Command): void {
    if (command.type === 'subscribe') {
      const from = typeof command.from === 'object' && 'position' in command.from ? command.from.position : undefined;
      const held = session.channels.get(command.channel);
      // The answer to one that is held follows what was numbered of it.
      const position = held ? { epoch: 'e', offset: held.offset } : (from ?? { epoch: 'e', offset: this.#log(command.channel).length });
      this.#hold(session, command.channel, position, number, command.presence);
    } else if (command.type === 'unsubscribe') {
      session.channels.delete(command.channel);
      this.#number(session, { type: 'unsubscribed', channel: command.channel, command: number, reason: 'requested' });
    } else if (command.type === 'send') this.#send(session, number, command);
  }

  #send(session: Session, number: number, { data }: Send): void {
    const known = session.results.get(number);
    // C3: carried out before, so its reply is given once more.
    if (known && known !== 'running') return this.#number(session, known);
    if (known) return;
    session.results.set(number, 'running');
    const said = String(data);
    this.executed.set(said, (this.executed.get(said) ?? 0) + 1);
    this.later(() => {
      const reply: Item = { type: 'reply', command: number, ok: true, data: said };
      session.results.set(number, reply);
      this.#number(session, reply);
      this.#pump(session);
    });
  }

  #hold(session: Session, channel: string, position: Position, command: number | undefined, presence = false): void {
    session.channels.set(channel, { offset: position.offset, presence });
    this.#number(session, { type: 'subscribed', channel, ...(command !== undefined && { command }), position, recovered: true });
    if (presence) this.#number(session, { type: 'presence', channel, kind: 'state', members: [], count: 0 });
  }

  #number(session: Session, item: Item): void {
    session.items.set(session.next++, item);
  }

  #log(channel: string): Item[] {
    const log = this.logs.get(channel) ?? [];
    this.logs.set(channel, log);
    return log;
  }

  /** Numbers events as far as the window goes, and sends what the active link has not. */
  #pump(session: Session): void {
    const peer = session.active;
    if (!peer) return;
    for (const [channel, held] of session.channels) {
      const log = this.#log(channel);
      while (held.offset < log.length && session.next - 1 - session.acked < WINDOW) {
        const event = log[held.offset++];
        if (event) this.#number(session, event);
      }
    }
    const items: Item[] = [];
    const first = peer.sent + 1;
    for (; peer.sent + 1 < session.next; peer.sent++) {
      const item = session.items.get(peer.sent + 1);
      assert.ok(item, 'an item that is acknowledged is not sent again');
      items.push(item);
    }
    if (items.length) peer.say([{ type: 'items', first, items, ack: session.taken }], false);
  }
}
