// Links: one connection or request each. They carry frames; what these mean is the session's.

const HOLD_MS = 25_000; // how long the gateway holds a poll

const encode = (frames) => frames.map((frame) => JSON.stringify(frame) + '\n').join('');
const decode = (text) => text.split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line));

/** What all have in common. */
class Link {
  beganAt = Date.now();
  heardAt = Date.now();
  isOpen = false; // the handshake is done
  isOver = false;
  acknowledges = true;
  mute = 'hung'; // how it ended if its handshake was never answered

  constructor(session) {
    this.session = session;
  }

  /** Where it is offered; a relative address is resolved against the gateway's own. */
  address(path) {
    const { choice, base } = this.session;
    return new URL(choice.offers.get(this.name)?.url ?? path, new URL(`${base}/v1/`, location.href));
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

  /** Only news: acknowledging waits for its timer. */
  flush() {
    const told = this.id === undefined ? [] : this.session.choice.tell();
    if (told.length > 0 || this.session.outgoing(this).length > 0) this.say(told);
  }
}

/** A connection on which frames go both ways. */
class DuplexLink extends Link {
  isDuplex = true;

  say(frames) {
    if (this.isOver || !this.isOpen) return;
    const { session } = this;
    const isActive = this === session.active && this.id !== undefined;
    const commands = isActive && session.state === 'live' ? session.outgoing(this) : [];
    for (const { first, items } of commands) this.sentUpTo = first + items.length - 1;
    const acks = isActive && session.after > this.acked ? [{ type: 'ack', upTo: session.after }] : [];
    if (acks.length > 0) this.acked = session.after;
    if (commands.length > 0) this.saidAt ??= Date.now(); // C9: it is answered at once
    if (frames.length + commands.length + acks.length > 0) this.write(encode([...frames, ...commands, ...acks]));
  }
}

/** RFC 6455. */
class WebSocketLink extends DuplexLink {
  name = 'websocket';

  open(hello) {
    const url = this.address('websocket');
    url.protocol = url.protocol.replace('http', 'ws');
    this.socket = new WebSocket(url, 'throughline.v1.json');
    this.socket.onopen = () => {
      this.isOpen = true;
      this.write(encode([hello]));
    };
    this.socket.onmessage = ({ data }) => !this.isOver && this.session.receive(this, decode(data));
    this.socket.onclose = ({ code }) => this.ended(code);
  }

  write(text) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(text);
  }

  close() {
    this.socket?.close();
  }
}

/** HTTP/3: frames follow one another on one stream, each ends with LF; a datagram is one frame. */
class WebTransportLink extends DuplexLink {
  name = 'webtransport';
  mute = 'blocked'; // UDP that nobody answers looks the same

  async open(hello) {
    let closeCode;
    try {
      const protocols = ['throughline.v1.json'];
      this.transport = new WebTransport(this.url(), { protocols, serverCertificateHashes: this.certificates() });
      this.transport.closed.catch(() => {}); // whoever reads hears of it
      await this.transport.ready;
      const { readable, writable } = await this.transport.createBidirectionalStream();
      this.writer = writable.getWriter();
      this.isOpen = true;
      this.write(encode([hello]));
      this.readDatagrams();
      await this.read(readable);
    } catch (error) {
      closeCode = error.streamErrorCode ?? undefined;
    }
    this.close(); // the gateway has said its last word, and waits for this
    this.ended(closeCode);
  }

  /** Always HTTPS: beside plain HTTP it is the same port number, by UDP. */
  url() {
    const url = this.address('webtransport');
    const port = url.port || (url.protocol === 'http:' ? '80' : '443');
    url.protocol = 'https:';
    url.port = port;
    return url;
  }

  /** Those that the offer names: a certificate that everybody trusts needs none. */
  certificates() {
    const { certificateHashes = [] } = this.session.choice.offers.get(this.name) ?? {};
    return certificateHashes.map((hex) => ({
      algorithm: 'sha-256',
      value: Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16)),
    }));
  }

  async read(readable) {
    const reader = readable.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.isOver) return;
      text += value;
      const end = text.lastIndexOf('\n') + 1;
      if (end === 0) continue;
      this.session.receive(this, decode(text.slice(0, end)));
      text = text.slice(end);
    }
  }

  /** What may be lost: nothing depends on it. */
  async readDatagrams() {
    try {
      const reader = this.transport.datagrams.readable.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.isOver) return;
        this.session.receive(this, decode(new TextDecoder().decode(value)));
      }
    } catch {
      // The stream says how the link ended.
    }
  }

  write(text) {
    this.writer.write(new TextEncoder().encode(text)).catch(() => {}); // a failure is read
  }

  close() {
    try {
      this.transport?.close();
    } catch {
      // It never opened.
    }
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
        if (!this.isOver) session.receive(this, frames, 'beside');
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
      this.isOpen = true;
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

  async open(hello) {
    const { session } = this;
    hello.client = { name: 'page', version: '1' }; // asks for a welcome: the first poll is answered at once
    while (!this.isOver && session.active === this) {
      let frames;
      try {
        frames = await this.exchange('poll', [hello], hello.client ? 10_000 : HOLD_MS + 5_000);
      } catch {
        break;
      }
      if (this.isOver) return;
      this.isOpen = true;
      session.receive(this, frames);
      if (this.advice || this.isRefused || frames.length === 0) break;
      if (session.active === this) hello = session.hello((this.attach = ++session.attach));
      this.stated = JSON.stringify(session.statement());
    }
    this.ended();
  }
}

const LINKS = { webtransport: WebTransportLink, websocket: WebSocketLink, sse: EventStreamLink, polling: PollingLink };
