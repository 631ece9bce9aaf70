// Links: one connection or request each. They carry frames; what these mean is the session's.

const HOLD_MS = 25_000; // how long the gateway holds a poll

function makeLink(session, name) {
  return new { websocket: WebSocketLink, sse: EventStreamLink, polling: PollingLink }[name](session);
}

const encode = (frames) => frames.map((frame) => JSON.stringify(frame) + '\n').join('');
const decode = (text) => text.split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line));

/** What all have in common. */
class Link {
  heardAt = Date.now();
  isOver = false;
  acknowledges = true;

  constructor(session) {
    this.session = session;
  }

  get quietMs() {
    return 2 * this.session.heartbeatMs + 1_000;
  }

  /** Nothing that it says counts any more. */
  abandon() {
    this.isOver = true;
    this.close();
  }

  ended(closeCode) {
    if (!this.isOver) this.session.lost(this, closeCode);
  }

  acknowledge() {
    this.say([]);
  }

  flush() {
    this.say([]);
  }
}

/** RFC 6455. */
class WebSocketLink extends Link {
  name = 'websocket';

  open(hello) {
    const url = new URL(`${this.session.base}/v1/websocket`, location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    this.socket = new WebSocket(url, 'throughline.v1.json');
    this.socket.onopen = () => this.write([hello]);
    this.socket.onmessage = ({ data }) => !this.isOver && this.session.receive(this, decode(data));
    this.socket.onclose = ({ code }) => this.ended(code);
  }

  say(frames) {
    if (this.isOver || this.socket.readyState !== WebSocket.OPEN) return;
    const { session } = this;
    const isActive = this === session.active && this.id !== undefined;
    const commands = isActive && session.state === 'live' ? session.outgoing(this) : [];
    for (const { first, items } of commands) this.sentUpTo = first + items.length - 1;
    const acks = isActive && session.after > this.acked ? [{ type: 'ack', upTo: session.after }] : [];
    if (acks.length > 0) this.acked = session.after;
    this.write([...frames, ...commands, ...acks]);
  }

  /** Only commands: acknowledging waits for its timer. */
  flush() {
    if (this.session.outgoing(this).length > 0) this.say([]);
  }

  write(frames) {
    if (frames.length > 0) this.socket.send(encode(frames));
  }

  close() {
    this.socket?.close();
  }
}

/** A link whose client speaks by posts beside it: one at a time, again until it is confirmed (L6). */
class PostingLink extends Link {
  queue = [];

  say(frames) {
    this.queue.push(...frames);
    this.isWanted = true;
    this.post();
  }

  flush() {
    if (this.session.outgoing(this).length > 0) this.say([]);
  }

  async post() {
    const { session } = this;
    if (this.isPosting || this.id === undefined) return;
    this.isPosting = true;
    while (this.isWanted && !this.isOver) {
      this.isWanted = false;
      const said = this.queue;
      const upTo = this === session.active ? session.after : 0;
      const acks = this.acknowledges && upTo > this.acked ? [{ type: 'ack', upTo }] : [];
      const commands = this === session.active ? session.outgoing(this) : [];
      if (said.length + acks.length + commands.length === 0) continue;
      const { token, incarnation } = session;
      const name = { type: 'session', token, incarnation, link: this.id };
      try {
        const frames = await this.exchange('send', [name, ...said, ...commands, ...acks], 10_000);
        if (!frames.some(({ type }) => type === 'ack')) throw new Error('the post was not taken');
        this.queue = this.queue.slice(said.length);
        if (acks.length > 0) this.acked = upTo;
        this.isWanted ||= this.queue.length > 0;
        if (!this.isOver) session.receive(this, frames);
      } catch {
        // An attach that is said again needs a number of its own.
        for (const frame of this.queue) {
          if (frame.type === 'attach') Object.assign(frame, { number: (this.attach = ++session.attach), after: session.after });
        }
        this.isWanted = true;
        await new Promise((resume) => setTimeout(resume, 1_000));
      }
    }
    this.isPosting = false;
  }

  /** `text/plain`, so that a page of another origin would need no preflight. */
  async exchange(path, frames, withinMs) {
    this.requests ??= new AbortController();
    const signal = AbortSignal.any([this.requests.signal, AbortSignal.timeout(withinMs)]);
    const response = await this.fetch(path, frames, signal);
    return decode(await response.text());
  }

  fetch(path, frames, signal) {
    const headers = { 'content-type': 'text/plain' };
    const body = encode(frames);
    return fetch(`${this.session.base}/v1/${path}`, { method: 'POST', headers, body, signal, cache: 'no-store' });
  }

  close() {
    this.requests?.abort();
  }
}

/** A stream of events that is read by fetch. */
class EventStreamLink extends PostingLink {
  name = 'sse';

  async open(hello) {
    this.requests = new AbortController();
    try {
      const response = await this.fetch('events', [hello], this.requests.signal);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.isOver) break;
        const blocks = (text + value).split('\n\n');
        text = blocks.pop();
        const lines = blocks.flatMap((block) => block.split('\n'));
        const frames = lines.filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)));
        if (frames.length > 0) this.session.receive(this, frames);
      }
    } catch {
      // The stream broke: what it carried counts, what it did not comes again.
    }
    this.ended();
  }
}

/** Each poll is a resume: it states what we have, and brings what we have not. */
class PollingLink extends PostingLink {
  name = 'polling';
  acknowledges = false; // the next poll's `after` does
  quietMs = 0; // each request has its own limit

  async open(hello) {
    const { session } = this;
    hello.client = { name: 'page', version: '1' }; // asks for a welcome: the first poll is answered at once
    while (!this.isOver && session.active === this) {
      let frames;
      try {
        frames = await this.exchange('poll', [hello], HOLD_MS + 5_000);
      } catch {
        break;
      }
      if (this.isOver) return;
      session.receive(this, frames);
      if (this.advice || this.isRefused || frames.length === 0) break;
      if (session.active === this) hello = session.hello((this.attach = ++session.attach));
      this.stated = JSON.stringify(session.statement());
    }
    this.ended();
  }
}
