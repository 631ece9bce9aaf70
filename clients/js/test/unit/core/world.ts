/**
 * A page, a network and the model of a gateway, under one virtual clock and one seed: links are cut and swallowed, messages
 * lost, polls repeated, sessions forgotten, pages loaded again. What the application heard and was told is kept.
 */

import assert from 'node:assert/strict';

import { type CoreLike, newCore } from '../../../src/core/core.js';
import type { Incoming, Outcome, Output, Saved } from '../../../src/core/output.js';
import { defaultTiming } from '../../../src/core/timing.js';
import type { DownFrame, Position, TransportName, UpFrame } from '../../../src/protocol.js';
import { randomness } from './bench.js';
import { Model, type Peer } from './model.js';

const TRANSPORTS: readonly TransportName[] = ['webtransport', 'websocket', 'sse', 'polling'];
export const CHANNELS = ['a', 'b'] as const;

/** One link of the page. */
interface Wire {
  readonly key: number;
  readonly transport: TransportName;
  readonly isDuplex: boolean;
  /** Whose it is: a page that is loaded again hears nothing of the links before. */
  readonly core: CoreLike;
  peer: Peer | undefined;
  /** Both ways, what is said on it vanishes. */
  isSwallowed: boolean;
  isOver: boolean;
  poll: number;
  post: number;
  /** Messages stay in their order. */
  upMs: number;
  downMs: number;
}

interface Due {
  readonly atMs: number;
  readonly then: () => void;
}

export class World {
  readonly random: () => number;
  readonly model = new Model((then) => this.#after(this.upTo(400), then));
  now = 0;
  core: CoreLike;
  /** The events of each channel that the application heard, in order. */
  readonly heard = new Map<string, number[]>();
  /** What the application stored: its place in each channel. */
  readonly #places = new Map<string, Position>();
  /** What became of each send, by what it says. */
  readonly outcomes = new Map<string, Outcome['kind'][]>();
  #tickets = new Map<number, string>();
  #nextTicket = 0;
  sends = 0;
  #saved: Saved | undefined;
  readonly #queue: Due[] = [];
  #wires = new Map<number, Wire>();
  #isBehind = false;
  /** Whether the network is out to get the page. */
  isHostile = true;
  pages = 0;

  constructor(seed: number) {
    this.random = randomness(seed);
    this.core = this.load();
  }

  upTo(most: number): number {
    return Math.floor(this.random() * (most + 1));
  }

  chance(part: number): boolean {
    return this.random() < part;
  }

  /** A page is loaded, in place of the one before. */
  load(): CoreLike {
    this.pages++;
    this.#isBehind = false;
    this.#wires = new Map();
    const restored = new Map<number, string>();
    this.#saved?.commands.forEach((command, index) => {
      if (command.type === 'send' && this.#saved) restored.set(-(this.#saved.low + index), String(command.data));
    });
    this.core = newCore({
      transports: TRANSPORTS.map((name) => ({ name, isDuplex: name === 'websocket' || name === 'webtransport' })),
      negotiates: this.chance(0.8),
      isSecure: this.chance(0.5),
      client: { name: 'test', version: '0' },
      timing: defaultTiming,
      commands: 1_024,
      random: this.random,
      nowMs: this.now,
      wall: () => 1_000_000 + this.now,
      saved: this.#saved,
    });
    for (const said of this.#tickets.values()) {
      // Of a session that was lost just now, what was said is not.
      if (!this.outcomes.has(said) && ![...restored.values()].includes(said)) {
        assert.ok(this.#saved && !this.#saved.known && this.#saved.unkept.length, `${said} is kept`);
        this.outcomes.set(said, ['unknown']);
      }
    }
    this.#tickets = restored;
    for (const channel of CHANNELS) {
      const position = this.#places.get(channel) ?? { epoch: 'e', offset: 0 };
      this.core.command(this.now, { type: 'subscribe', channel, from: { position }, ...(channel === 'a' && { presence: true }) }, ++this.#nextTicket);
    }
    this.turn();
    return this.core;
  }

  send(): void {
    const said = `send ${++this.sends}`;
    this.#tickets.set(++this.#nextTicket, said);
    this.core.command(this.now, { type: 'send', channel: this.chance(0.5) ? 'a' : 'other', data: said }, this.#nextTicket);
    this.turn();
  }

  migrate(): void {
    const transport = TRANSPORTS[this.upTo(3)];
    if (transport) this.core.migrate(this.now, transport, ++this.#nextTicket);
    this.turn();
  }

  /** A link breaks: at once for the gateway, and soon for the page. */
  cut(): void {
    const wire = this.#any();
    if (!wire) return;
    this.#leave(wire);
    wire.isSwallowed = true;
    this.#after(this.upTo(50), () => this.#tell(wire, (core) => core.handleEnded(this.now, wire.key, { kind: 'lost', reason: 'cut' }), true));
  }

  /** From now on a link swallows what is said on it, and nobody is told. */
  swallow(): void {
    const wire = this.#any();
    if (wire) wire.isSwallowed = true;
  }

  #any(): Wire | undefined {
    return [...this.#wires.values()][this.upTo(this.#wires.size - 1)];
  }

  /** Lets time pass, with all that is due in it. */
  pass(ms: number): void {
    const until = this.now + ms;
    for (let steps = 0; ; steps++) {
      assert.ok(steps < 100_000, 'the core spins');
      const [next] = this.#queue;
      const deadline = Math.max(this.core.deadline(), this.now);
      if (Math.min(next?.atMs ?? Infinity, deadline) > until) break;
      if (next && next.atMs <= deadline) {
        this.#queue.shift();
        this.now = Math.max(this.now, next.atMs);
        next.then();
      } else this.now = deadline;
      this.turn();
    }
    this.now = until;
  }

  /** The page sleeps: what is due meanwhile is done when it wakes, in the order in which it was due. */
  sleep(ms: number): void {
    this.now += ms;
  }

  #after(ms: number, then: () => void): void {
    const atMs = this.now + ms;
    const index = this.#queue.findIndex((due) => due.atMs > atMs);
    this.#queue.splice(index < 0 ? this.#queue.length : index, 0, { atMs, then });
  }

  /** What a driver does in one turn. */
  turn(): void {
    for (let isQuiet = false; !isQuiet; ) {
      isQuiet = true;
      for (let incoming = this.core.pollIncoming(); incoming; incoming = this.core.pollIncoming()) this.#hear(incoming);
      this.core.settle(this.now);
      // Written before anything is said.
      if (this.core.saved !== this.#saved) this.#saved = this.core.saved && structuredClone(this.core.saved);
      for (let output = this.core.pollOutput(); output; output = this.core.pollOutput()) {
        isQuiet = false;
        this.#perform(output);
      }
    }
    assert.ok(this.core.deadline() > this.now, `what is due is done: ${this.core.deadline()} at ${this.now}`);
  }

  #hear(incoming: Incoming): void {
    if (incoming.hear === 'subscribed') this.#places.set(incoming.item.channel, incoming.item.position);
    assert.notEqual(incoming.hear, 'gap', 'nothing is trimmed here');
    assert.notEqual(incoming.hear, 'unsubscribed', 'nothing is revoked here');
    // Of a lost session nothing is held back any more.
    if (incoming.hear === 'lost') this.#isBehind = false;
    if (incoming.hear !== 'event') return;
    this.#fallBehind(incoming.number);
    const { channel, offset } = incoming.item;
    const heard = this.heard.get(channel) ?? [];
    this.heard.set(channel, heard);
    heard.push(offset);
    this.#places.set(channel, { epoch: incoming.epoch ?? '', offset });
  }

  /** Now and then the application takes its time over an event, and what comes after it waits. */
  #fallBehind(number: number): void {
    if (this.#isBehind || !this.isHostile || !this.chance(0.1)) return;
    const { core } = this;
    this.#isBehind = true;
    core.holdBack(this.now, number);
    this.#after(this.upTo(3_000), () => {
      if (core !== this.core || !this.#isBehind) return;
      this.#isBehind = false;
      core.holdBack(this.now, Infinity);
      this.turn();
    });
  }

  #perform(output: Output): void {
    if (output.do === 'settle') {
      const said = this.#tickets.get(output.ticket);
      if (said !== undefined) this.outcomes.set(said, [...(this.outcomes.get(said) ?? []), output.outcome.kind]);
      if (output.ticket < 0) assert.ok(said !== undefined, 'a ticket of the page before');
      return;
    }
    if (output.do === 'remember') return;
    if (output.do === 'open') return this.#open(output.link, output.transport, output.hello);
    const wire = this.#wires.get(output.link);
    // One that ended by itself is closed all the same.
    if (!wire && output.do === 'close') return;
    assert.ok(wire, `${output.do} on a link that is over`);
    switch (output.do) {
      case 'close':
        this.#wires.delete(wire.key);
        return this.#leave(wire);
      case 'transmit':
        return this.#up(wire, () => wire.peer && !wire.isOver && this.model.receive(wire.peer, output.message));
      case 'poll':
        wire.poll = output.attach;
        return this.#poll(wire, output.attach, output.message);
      case 'post':
        wire.post = output.post;
        return this.#post(wire, output.post, output.message);
    }
  }

  #open(key: number, transport: TransportName, hello: readonly UpFrame[]): void {
    const isDuplex = transport === 'websocket' || transport === 'webtransport';
    const wire: Wire = {
      key, transport, isDuplex, core: this.core, peer: undefined, isSwallowed: false, isOver: false, poll: -1, post: -1, upMs: 0, downMs: 0,
    };
    this.#wires.set(key, wire);
    if (transport === 'polling') return;
    if (this.isHostile && this.chance(0.2)) {
      if (this.chance(0.5)) wire.isSwallowed = true;
      else this.#after(this.upTo(300), () => this.#tell(wire, (core) => core.handleEnded(this.now, key, { kind: 'failed', outcome: 'refused', reason: 'no' }), true));
      return;
    }
    const peer: Peer = {
      isPoll: false, session: undefined, attach: 0, name: 0, nonce: undefined, isProven: false, sent: 0,
      say: (frames, isLast) => {
        this.#down(wire, (core) => {
          core.handleFrames(this.now, key, frames);
          if (isLast) core.handleEnded(this.now, key, { kind: 'lost', reason: 'ended' });
        }, isLast);
        if (isLast) wire.peer = undefined;
      },
    };
    this.#up(wire, () => {
      wire.peer = peer;
      this.#down(wire, (core) => core.handleOpened(this.now, key));
      if (hello.length) this.model.receive(peer, hello);
    });
    // Its heartbeats.
    const beat = (): void => {
      if (wire.peer && !wire.isOver) {
        wire.peer.say([{ type: 'ping' }], false);
        this.#after(15_000, beat);
      }
    };
    this.#after(15_000, beat);
  }

  /** A request of its own: its answer comes once, and what is said to it in one go comes together. */
  #poll(wire: Wire, attach: number, message: readonly UpFrame[]): void {
    const ask = (): void => {
      let frames: DownFrame[] | undefined;
      let isAnswered = false;
      const peer: Peer = {
        isPoll: true, session: undefined, attach: 0, name: 0, nonce: undefined, isProven: false, sent: 0,
        say: (more) => {
          if (isAnswered) return;
          if (!frames) this.#after(0, answer);
          frames = [...(frames ?? []), ...more];
        },
      };
      const answer = (): void => {
        if (isAnswered) return;
        isAnswered = true;
        this.model.gone(peer);
        const answered = frames ?? [];
        this.#after(this.#delay(), () => {
          if (this.#isLost(wire) || wire.poll !== attach) return;
          this.#tell(wire, (core) => core.handleAnswer(this.now, wire.key, attach, answered));
        });
      };
      this.#after(25_000, () => peer.say([{ type: 'ack', upTo: peer.session?.taken ?? 0 }], true));
      this.model.receive(peer, message);
    };
    for (let copies = this.isHostile && this.chance(0.1) ? 2 : 1; copies > 0; copies--) {
      this.#after(this.#delay(), () => !this.#isLost(wire) && ask());
    }
  }

  #post(wire: Wire, post: number, message: readonly UpFrame[]): void {
    const tell = (answer: readonly DownFrame[] | string): void =>
      this.#tell(wire, (core) => wire.post === post && core.handlePosted(this.now, wire.key, post, answer));
    const isBroken = this.isHostile && this.chance(0.1);
    this.#after(this.#delay(), () => {
      if (this.#isLost(wire)) return;
      const answer = this.model.post(message);
      this.#after(this.#delay(), () => !this.#isLost(wire) && tell(isBroken ? 'no answer' : answer));
    });
  }

  #delay(): number {
    return this.isHostile && this.chance(0.05) ? this.upTo(8_000) : this.upTo(40);
  }

  /** Of requests on a link that works one in twenty goes astray. */
  #isLost(wire: Wire): boolean {
    return wire.isSwallowed || (this.isHostile && this.chance(0.05));
  }

  #up(wire: Wire, then: () => void): void {
    wire.upMs = Math.max(wire.upMs, this.now + this.upTo(40));
    this.#after(wire.upMs - this.now, () => {
      if (!wire.isSwallowed) then();
    });
  }

  #down(wire: Wire, then: (core: CoreLike) => void, isLast = false): void {
    wire.downMs = Math.max(wire.downMs, this.now + this.upTo(40));
    this.#after(wire.downMs - this.now, () => {
      if (!wire.isSwallowed) this.#tell(wire, then, isLast);
    });
  }

  /** Links of a page that is gone, and those that were closed, report nothing. */
  #tell(wire: Wire, then: (core: CoreLike) => void, isLast = false): void {
    if (wire.core !== this.core || this.#wires.get(wire.key) !== wire) return;
    if (isLast) this.#wires.delete(wire.key);
    then(this.core);
    this.turn();
  }

  #leave(wire: Wire): void {
    wire.isOver = true;
    if (wire.peer) this.model.gone(wire.peer);
    wire.peer = undefined;
  }

  /** The network is well again: what was swallowed is found to be broken, and nothing new is lost. */
  heal(): void {
    this.isHostile = false;
  }
}
