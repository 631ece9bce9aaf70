// A client of the protocol in docs/protocol.md: one session over WebTransport, WebSocket, server-sent events and
// long-polling.
//
// `Session` is the conversation: numbers, positions, commands, what to do when a link ends. A link only carries
// frames; it knows its transport and nothing else. Which transport is next is a `Choice`. Rules are cited as the
// document names them (L1, C2, N4 …).

const LOOK_MS = 250; // how often it looks what is late; also how far apart probes begin
const JOIN_MS = 1_500; // how long the only link may be silent before a poll goes in its place
const PROBE_MS = 5_000; // how long a probe may take
const LATE_MS = 750; // how long what was due may be missing before the link is asked for a sign, and that sign too
const ACK_MS = 200; // how long an item may stay unacknowledged

class Session {
  /** `base` is where the gateway is mounted; `report` is told what happens: {state, item, note}. */
  constructor(base, report) {
    this.base = base;
    this.report = report;
    this.instance = crypto.getRandomValues(new Uint32Array(4)).join('-');
    this.choice = new Choice();
    this.proven = 'polling'; // the transport that carried something last
    this.attach = 0; // L1: ours to number
    this.followed = 0; // L12: the attach whose welcome was followed last
    this.guidance = { windowMs: 0, backoff: { baseMs: 1_000, capMs: 30_000 } };
    this.heartbeatMs = 15_000;
    this.limits = { commandsAhead: 64, unacknowledgedItems: 1_024 };
    this.attempt = 0;
    this.faults = 0; // how many links in a row ended with protocol_error
    this.active = null;
    this.probes = new Map(); // transport -> link that stands by (L10)
    this.state = 'offline';
    this.channels = new Map(); // channel -> position
    this.forget();
    setInterval(() => this.look(), LOOK_MS);
  }

  /** Begins the numbers of a new session. Positions stay. */
  forget() {
    this.id = null;
    this.token = null;
    this.incarnation = 0;
    this.after = 0; // the last item that we have
    this.commands = new Map(); // number -> command, until its result is here (C2)
    this.next = 1; // the next command's number
    this.taken = 0; // the last command that the gateway has
    this.needsPositions = false;
  }

  // What a person does.

  start() {
    if (this.state === 'offline' || this.state === 'stopped') this.comeBack(0);
  }

  /** Wants another transport, or the best (`auto`). */
  pick(transport) {
    this.choice.pick(transport);
    this.tryBetter();
  }

  /** Loses the link, as a network would. */
  cut() {
    const link = this.active;
    this.dropProbes();
    if (!link) return;
    link.isCut = true;
    link.abandon();
    this.lost(link);
  }

  /** Loses the link and does not come back before `start`. */
  goOffline() {
    this.dropProbes();
    this.active?.abandon();
    this.active = null;
    clearTimeout(this.timer);
    this.become('offline');
  }

  subscribe(channel, from) {
    this.command({ type: 'subscribe', channel, ...(from && { from }) });
  }

  unsubscribe(channel) {
    this.command({ type: 'unsubscribe', channel });
  }

  publish(channel, data) {
    const id = crypto.getRandomValues(new Uint32Array(3)).join('-'); // so that it may be sent again in another session (C6)
    this.command({ type: 'send', channel, id, data });
  }

  command(command) {
    this.commands.set(this.next++, command);
    this.flush();
  }

  // Links: opening them.

  /** What a hello says. Without `attach` the link is a probe. */
  hello(attach) {
    const hello = { type: 'hello', version: 0, instance: this.instance };
    if (attach) hello.attach = attach;
    if (this.token) {
      hello.resume = { token: this.token, incarnation: this.incarnation, after: this.after, low: this.low() };
      if (this.needsPositions) hello.resume.positions = Object.fromEntries(this.channels);
    }
    return hello;
  }

  /** Opens the one link of a client that has none. */
  connect(transport) {
    this.become('connecting');
    const link = new LINKS[transport](this);
    const number = ++this.attach;
    this.engage(link, number);
    link.open(this.hello(number));
  }

  /** Polls in place of a link that works, or did: it ends when it is told so, or once the poll has been answered. */
  pollBeside(link) {
    const poll = new LINKS.polling(this);
    const number = ++this.attach;
    this.engage(poll, number);
    poll.before = link;
    poll.open(this.hello(number));
  }

  /** `link` is the newest from here on. What it states as its `after` is what it may count as acknowledged (L5). */
  engage(link, number) {
    link.attach = number;
    link.stated = JSON.stringify(this.statement());
    link.acked = this.after;
    link.sentUpTo = this.taken;
    this.active = link;
  }

  /** What N4 compares. */
  statement() {
    return [this.after, this.low(), [...this.channels]];
  }

  /** Tries what is better than the link that works: a stream as a probe beside it, a poll by attaching (L10). */
  tryBetter() {
    if (this.state !== 'live' || this.active.before) return;
    this.dropProbes(this.choice.preferred(this.active.name));
    const name = this.choice.better(this.active.name).find((name) => !this.probes.has(name));
    if (!name) return;
    if (name === 'polling') return this.pollBeside(this.active);
    const link = new LINKS[name](this);
    this.probes.set(name, link);
    link.open(this.hello());
    this.report.state();
  }

  /** Gives a link up that is not needed any more, and what it was to displace. */
  leave(link, outcome) {
    if (this.isProbe(link)) this.probes.delete(link.name);
    if (link.before) this.leaveBefore(link, outcome);
    link.abandon();
    this.choice.note(link, outcome);
  }

  leaveBefore(link, outcome) {
    const { before } = link;
    link.before = null;
    this.leave(before, before.isSilent ? 'silent' : outcome);
  }

  isProbe(link) {
    return this.probes.get(link.name) === link;
  }

  dropProbes(except = []) {
    for (const probe of this.probes.values()) if (!except.includes(probe.name)) this.leave(probe, 'late');
  }

  // Links: what they bring.

  /** One message's frames, in order; `beside` the link they are a post's answer, which does not prove it. */
  receive(link, frames, beside) {
    if (!beside) {
      link.heardAt = Date.now();
      link.saidAt = link.askedAt = null;
    }
    for (const frame of frames) {
      if (link.isOver) return;
      this.take(link, frame);
    }
    if (link !== this.active || link.advice || !this.token) return;
    if (!beside) this.proved(link);
    this.flush();
    this.acknowledgeSoon(link);
  }

  take(link, frame) {
    switch (frame.type) {
      case 'welcome':
        return this.welcomed(link, frame);
      case 'items':
        this.taken = Math.max(this.taken, frame.ack ?? 0);
        return this.takeItems(link, frame);
      case 'ack':
        this.taken = Math.max(this.taken, frame.upTo);
        return;
      case 'ping':
        this.guidance.windowMs = frame.windowMs ?? this.guidance.windowMs;
        if (frame.nonce !== undefined) this.prove(link, frame.nonce);
        return;
      case 'pong':
        this.guidance.windowMs = frame.windowMs ?? this.guidance.windowMs;
        return;
      case 'migrate':
        return this.asked(frame);
      case 'retry':
        link.advice = frame;
        return;
      case 'volatile':
        return this.report.volatile(frame, link.name);
      case 'error':
        link.isRefused ||= frame.fatal;
        this.note(`${link.name}: ${frame.code}: ${frame.message}`);
    }
  }

  welcomed(link, welcome) {
    const attach = link.attach ?? Infinity;
    if (attach <= this.followed) return; // L12
    link.id = welcome.link;
    this.guidance = { windowMs: welcome.windowMs, backoff: welcome.backoff };
    this.heartbeatMs = welcome.heartbeatMs;
    this.limits = welcome.limits ?? this.limits;
    this.choice.offered(welcome.transports ?? []);
    if (this.isProbe(link)) return; // it says nothing new: a probe never rebuilds
    this.followed = attach;
    if (!welcome.resumed) this.begin(link, welcome);
    else if (welcome.incarnation !== this.incarnation && !this.rebuilt(link, welcome)) return;
    this.needsPositions = false;
    this.id = welcome.session;
    this.token = welcome.token;
    this.taken = Math.max(this.taken, welcome.received);
    this.note(`${link.name}: attach ${link.attach} ${welcome.resumed ? 'resumed' : 'opened'} the session`);
  }

  /** A new session: only positions are left of the one before. */
  begin(link, welcome) {
    const { commands, token } = this;
    if (token) this.note(`a new session (${welcome.reason ?? 'the old one was given up'})`);
    this.forget();
    this.choice.asked = [];
    this.incarnation = welcome.incarnation;
    for (const command of commands.values()) this.commands.set(this.next++, command);
    // Without a resume the gateway knows none of our positions.
    if (!token) for (const [channel, position] of this.channels) this.subscribe(channel, { position });
    link.acked = 0;
    link.sentUpTo = 0;
  }

  /** N1, N4: new numbers, unless something has moved since we stated it. */
  rebuilt(link, welcome) {
    if (link.stated !== JSON.stringify(this.statement())) {
      // Under the old incarnation: in the new one our numbers may mean other items.
      link.advice = { reason: 'positions', delayMs: 0, spreadMs: 0 };
      link.close();
      this.lost(link);
      return false;
    }
    if (link.before) this.leaveBefore(link, 'preferred');
    this.incarnation = welcome.incarnation;
    this.taken = welcome.received;
    link.sentUpTo = welcome.received;
    this.note('the session was rebuilt from our positions');
    return true;
  }

  takeItems(link, { first, items }) {
    if (first > this.after + 1 && items.length > 0) {
      this.note(`${link.name}: item ${first} after ${this.after}`); // L11
      link.close();
      return this.lost(link);
    }
    items.forEach((item, index) => {
      const number = first + index;
      if (number <= this.after) return; // seen
      this.after = number;
      this.takeItem(item);
      this.report.item(number, item, link.name);
    });
  }

  takeItem(item) {
    if (item.command !== undefined) this.commands.delete(item.command);
    switch (item.type) {
      case 'subscribed':
        this.channels.set(item.channel, item.position);
        break;
      case 'unsubscribed':
        this.channels.delete(item.channel);
        break;
      case 'event': {
        const held = this.channels.get(item.channel);
        if (held) this.channels.set(item.channel, { epoch: held.epoch, offset: item.offset });
        break;
      }
      case 'gap':
        if (item.channel) this.channels.set(item.channel, item.to);
    }
  }

  /** The gateway asks for a move to one of these. */
  asked({ transports, delayMs, spreadMs }) {
    setTimeout(() => {
      this.choice.ask(transports);
      this.tryBetter();
    }, delayMs + Math.random() * spreadMs);
  }

  /** L10: the nonce came down; a probe that says so may displace what works. */
  prove(link, nonce) {
    const frames = [{ type: 'pong', nonce }];
    if (this.isProbe(link)) {
      const before = this.active;
      if (before && !this.choice.preferred(before.name).includes(link.name)) return this.leave(link, 'late');
      this.probes.delete(link.name);
      this.engage(link, ++this.attach);
      link.before = before;
      this.followed = this.attach;
      frames.push({ type: 'attach', number: this.attach, after: this.after });
    }
    link.say(frames);
  }

  /** The active link has brought something: whatever it displaced is not needed any more. */
  proved(link) {
    this.attempt = 0;
    this.faults = 0;
    this.proven = link.name;
    if (!link.provedAt) {
      this.choice.note(link, 'proven');
      link.provedAt = Date.now();
    }
    if (link.before) {
      this.note(`${link.name}: took over from ${link.before.name}`);
      this.leaveBefore(link, this.choice.asked[0] === link.name ? 'drained' : 'preferred');
    }
    if (this.state === 'live') return;
    this.become('live');
    this.tryBetter();
  }

  // What goes up.

  /** The lowest command whose result is not here (C2). */
  low() {
    return this.commands.size > 0 ? Math.min(...this.commands.keys()) : this.next;
  }

  /** Commands that this link has not been given, and what it has not acknowledged. */
  outgoing(link) {
    const first = Math.max(this.taken, link.sentUpTo) + 1;
    const end = Math.min(this.next, this.low() + this.limits.commandsAhead, first + 16);
    const items = [];
    for (let number = first; number < end; number++) {
      items.push(this.commands.get(number) ?? { type: 'noop' }); // its result is here
    }
    return items.length > 0 ? [{ type: 'commands', first, items }] : [];
  }

  flush() {
    if (this.state === 'live') this.active.flush();
    this.report.state();
  }

  acknowledgeSoon(link) {
    const ahead = this.after - link.acked;
    if (ahead <= 0 || !link.acknowledges) return;
    if (ahead >= this.limits.unacknowledgedItems / 2) return link.acknowledge();
    link.ackTimer ??= setTimeout(() => {
      link.ackTimer = null;
      if (link === this.active && !link.isOver) link.acknowledge();
    }, ACK_MS);
  }

  // Links: how they end, and when to come back.

  /** Four times a second: what is late, and what may be tried again. */
  look() {
    const now = Date.now();
    for (const probe of this.probes.values()) if (now - probe.beganAt > PROBE_MS) this.giveUp(probe);
    const link = this.active;
    if (this.state === 'connecting' && link.name !== 'polling' && now - link.beganAt > JOIN_MS) this.giveUp(link);
    if (this.state === 'waiting') this.report.state();
    if (this.state !== 'live') return;
    if (this.isLate(link, now)) this.overdue(link, now);
    this.tryBetter();
  }

  /** Whether something was due on a link: an answer, or a heartbeat. A poll looks after itself. */
  isLate({ name, saidAt, askedAt, heardAt }, now) {
    const dueAt = Math.min(saidAt ?? Infinity, askedAt ?? Infinity, heardAt + this.heartbeatMs);
    return name !== 'polling' && now > dueAt + LATE_MS;
  }

  /** Asks a link that is late whether it still works, and polls beside one that does not say so, or cannot. */
  overdue(link, now) {
    if (link.isDuplex && !link.askedAt) return this.doubt();
    if (link.isDuplex && now <= link.askedAt + LATE_MS) return;
    this.note(`${link.name}: silent; polling beside it`);
    link.isSilent = true;
    this.pollBeside(link);
  }

  /** Something was late, the machine woke, or the network changed: asks for a sign of life. */
  doubt() {
    const { active: link, state } = this;
    if (state !== 'live' || !link.isDuplex || link.askedAt) return;
    link.askedAt = Date.now();
    link.say([{ type: 'ping', nonce: link.askedAt }]);
  }

  /** A link has not come up in time. */
  giveUp(link) {
    link.abandon();
    this.lost(link, undefined, link.isOpen ? (link.name === 'sse' ? 'buffered' : 'silent') : link.mute);
  }

  /** A link has ended: by the gateway's word, or without one. */
  lost(link, closeCode, outcome = outcomeOf(link)) {
    link.isOver = true;
    const isProbe = this.isProbe(link);
    if (isProbe || link === this.active) this.choice.note(link, outcome);
    if (isProbe) {
      this.probes.delete(link.name);
      this.flush();
    } else if (link === this.active) {
      this.active = null;
      if (link.before) this.leaveBefore(link, 'lost');
      this.dropProbes();
      if (!link.provedAt) this.proven = 'polling';
      this.decide(link, link.advice ?? adviceOf(closeCode));
    } // L8: else one that we have left
  }

  decide(link, advice) {
    switch (advice?.reason) {
      case 'superseded': // L8: final for our newest
        this.note('somebody else holds this session: opening another');
        this.token = null;
        return this.comeBack(1_000 + this.wait());
      case 'positions':
      case 'ended':
        this.needsPositions = true;
        break;
      case 'protocol_error':
        this.faults += 1;
        this.proven = 'polling';
        if (this.faults > 1) return this.stop(advice.reason);
    }
    if (advice?.final) return this.stop(advice.reason);
    if (advice?.delayMs !== undefined) {
      return this.comeBack(advice.delayMs + Math.random() * advice.spreadMs, advice.reason);
    }
    this.comeBack(this.wait());
  }

  /** How long the next attempt waits without advice: full jitter, never tighter than the window. */
  wait() {
    this.attempt += 1;
    const { windowMs, backoff } = this.guidance;
    const bound = this.attempt === 1 ? 0 : Math.min(backoff.capMs, backoff.baseMs * 2 ** (this.attempt - 2));
    return Math.random() * Math.max(windowMs, bound);
  }

  comeBack(waitMs, reason) {
    clearTimeout(this.timer);
    this.backAt = Date.now() + waitMs;
    this.become('waiting', reason);
    this.timer = setTimeout(() => this.connect(this.proven), waitMs);
  }

  stop(reason) {
    this.become('stopped', reason);
  }

  become(state, reason) {
    this.state = state;
    this.reason = reason;
    this.report.state();
  }

  note(text) {
    this.report.note(text);
  }
}

/** How the use of a transport ended that nobody gave up. */
function outcomeOf({ advice, isRefused, isOpen, provedAt }) {
  if (advice?.reason === 'drain') return 'drained';
  if (advice?.reason === 'silence') return 'silent';
  if (advice || isRefused || !isOpen) return 'refused';
  return provedAt ? 'lost' : 'refused';
}

/** What a close code says, where no frame did. Unknown ones are read by their range. */
function adviceOf(code) {
  if (code >= 4300 && code < 4400) return code === 4300 ? { reason: 'superseded' } : { reason: 'forbidden', final: true };
  if (code >= 4200) return { reason: 'unauthorized', final: true };
  if (code >= 4100) return { reason: 'ended', delayMs: 0, spreadMs: 0 };
  if (code === 4003) return { reason: 'positions', delayMs: 0, spreadMs: 0 };
  if (code === 1002 || code === 1003 || code === 1007) return { reason: 'protocol_error', delayMs: 1_000, spreadMs: 1_000 };
  return null;
}
