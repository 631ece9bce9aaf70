// A client of the protocol in docs/protocol.md: one session over WebSocket, server-sent events and long-polling.
//
// `Session` is the conversation: numbers, positions, commands, what to do when a link ends. A link only carries
// frames; it knows its transport and nothing else. Rules are cited as the document names them (L1, C2, N4 …).

const PROBE_MS = 10_000; // how long a probe may take
const ACK_MS = 200; // how long an item may stay unacknowledged

class Session {
  /** `base` is where the gateway is mounted; `report` is told what happens: {state, item, note}. */
  constructor(base, report) {
    this.base = base;
    this.report = report;
    this.instance = crypto.getRandomValues(new Uint32Array(4)).join('-');
    this.wanted = 'polling';
    this.proven = null; // the transport that carried something last
    this.attach = 0; // L1: ours to number
    this.followed = 0; // L12: the attach whose welcome was followed last
    this.guidance = { windowMs: 0, backoff: { baseMs: 1_000, capMs: 30_000 } };
    this.heartbeatMs = 15_000;
    this.limits = { commandsAhead: 64, unacknowledgedItems: 1_024 };
    this.attempt = 0;
    this.probes = 0; // how many probes have failed in a row
    this.probeAfter = 0; // when the next may be tried
    this.faults = 0; // how many links in a row ended with protocol_error
    this.active = null;
    this.probe = null;
    this.state = 'offline';
    this.channels = new Map(); // channel -> position
    this.forget();
    setInterval(() => this.watch(), 1_000);
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

  /** Moves to another transport: a stream as a probe beside what works, a poll by attaching (L10). */
  migrate(transport) {
    this.wanted = transport;
    this.probes = 0;
    this.probeAfter = 0;
    this.upgrade();
  }

  /** Loses the link, as a network would. */
  cut() {
    const link = this.active;
    this.dropProbe();
    if (!link) return;
    this.note(`${link.name}: cut`);
    link.abandon();
    this.lost(link);
  }

  /** Loses the link and does not come back before `start`. */
  goOffline() {
    this.dropProbe();
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
    const link = makeLink(this, transport);
    const number = ++this.attach;
    this.engage(link, number);
    link.open(this.hello(number));
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

  upgrade() {
    if (this.state !== 'live' || this.active.name === this.wanted) return this.dropProbe();
    if (this.probe?.name === this.wanted) return;
    this.dropProbe();
    this.note(`${this.wanted}: trying it beside ${this.active.name}`);
    const link = makeLink(this, this.wanted);
    if (this.wanted === 'polling') {
      const before = this.active; // ends when it is told so, or once this one has been answered
      const number = ++this.attach;
      this.engage(link, number);
      link.before = before;
      link.open(this.hello(number));
    } else {
      this.probe = link;
      link.open(this.hello());
    }
  }

  dropProbe() {
    this.probe?.abandon();
    this.probe = null;
  }

  // Links: what they bring.

  /** One message's frames, in order. */
  receive(link, frames) {
    link.heardAt = Date.now();
    for (const frame of frames) {
      if (link.isOver) return;
      this.take(link, frame);
    }
    if (link !== this.active || link.advice || !this.token) return;
    this.proved(link);
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
      case 'retry':
        link.advice = frame;
        return;
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
    if (link === this.probe) return; // it says nothing new: a probe never rebuilds
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
    link.before?.abandon();
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

  /** L10: the nonce came down; a probe that says so may displace what works. */
  prove(link, nonce) {
    const frames = [{ type: 'pong', nonce }];
    if (link === this.probe) {
      const before = this.active;
      this.probe = null;
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
    link.before?.abandon();
    link.before = null;
    if (this.state === 'live') return;
    this.become('live');
    if (this.wanted !== link.name && Date.now() >= this.probeAfter) this.upgrade();
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

  /** The machine woke, or the network changed: asks whether the link still works. */
  doubt() {
    const link = this.active;
    if (this.state !== 'live' || link.name !== 'websocket') return;
    const asked = Date.now();
    link.say([{ type: 'ping', nonce: asked }]);
    setTimeout(() => {
      if (link === this.active && link.heardAt < asked) this.cut();
    }, 3_000);
  }

  /** A link has ended: by the gateway's word, or without one. */
  lost(link, closeCode) {
    link.isOver = true;
    if (link === this.probe) {
      this.probe = null;
      this.probes += 1;
      this.note(`${link.name}: did not come through; staying on ${this.active?.name ?? 'nothing'}`);
      const waitMs = Math.min(300_000, 5_000 * 2 ** this.probes);
      this.probeAfter = Date.now() + waitMs;
      setTimeout(() => this.upgrade(), waitMs);
      return;
    }
    if (link !== this.active) return; // L8: of a link that we have left
    this.active = null;
    link.before?.abandon();
    this.dropProbe();
    this.decide(link, link.advice ?? adviceOf(closeCode));
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
    this.timer = setTimeout(() => this.connect(this.proven ?? 'polling'), waitMs);
  }

  stop(reason) {
    this.become('stopped', reason);
  }

  become(state, reason) {
    this.state = state;
    this.reason = reason;
    this.report.state();
  }

  /** A stream that says nothing for two heartbeats is lost, whatever it seems to be. */
  watch() {
    const { active: link, probe } = this;
    if (probe && Date.now() - probe.heardAt > PROBE_MS) {
      probe.abandon();
      this.lost(probe);
    }
    if (link?.quietMs && Date.now() - link.heardAt > link.quietMs) {
      this.note(`${link.name}: silent`);
      link.abandon();
      this.lost(link);
    } else if (this.state === 'waiting') {
      this.report.state();
    }
  }

  note(text) {
    this.report.note(text);
  }
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
