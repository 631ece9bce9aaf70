/**
 * One WebTransport session: frames on one stream both ways, and datagrams beside it. docs/protocol.md, WebTransport.
 *
 * UDP that nobody answers looks the same whatever is in its way, so that is `blocked`. A browser that knows no protocols
 * of WebTransport cannot name its codec, and so speaks text.
 */

import { json } from '../codec/json.js';
import { lines } from '../codec/lines.js';
import type { AttemptOutcome, Offer, UpFrame } from '../protocol.js';
import { addressOf } from './address.js';
import { reports } from './reports.js';
import type { End, Link, Opening, Transport } from './transport.js';

type Bytes = Uint8Array<ArrayBuffer>;

interface Stream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Bytes>;
}

/** As much of the platform's WebTransport as is used. */
export interface Session {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ readonly closeCode?: number } | undefined>;
  /** What was agreed to; absent where the browser knows no protocols. */
  readonly protocol?: string;
  readonly datagrams: {
    readonly maxDatagramSize: number;
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable?: WritableStream<Bytes>;
    createWritable?(): WritableStream<Bytes>;
  };
  createBidirectionalStream(): Promise<Stream>;
  close(info?: { readonly closeCode: number; readonly reason: string }): void;
}

export interface SessionOptions {
  readonly protocols: readonly string[];
  readonly serverCertificateHashes?: readonly { readonly algorithm: string; readonly value: Bytes }[];
}

export interface WebTransportOptions {
  /** In place of the platform's `WebTransport`. */
  readonly WebTransport?: new (url: string, options: SessionOptions) => Session;
}

/** WebTransport over HTTP/3, by UDP; what may be lost goes as datagrams. */
export const webTransport = (options: WebTransportOptions = {}): Transport => {
  const constructor = () => options.WebTransport ?? (globalThis as unknown as WebTransportOptions).WebTransport;
  return {
    name: 'webtransport',
    isDuplex: true,
    missing: () => (typeof constructor() === 'function' ? undefined : 'this platform has no WebTransport'),
    open: (opening) => open(opening, constructor()),
  };
};

function open(opening: Opening, WebTransport: WebTransportOptions['WebTransport']): Link {
  const { clock, connectMs } = opening;
  const told = reports(opening.events);
  const begun = clock.now();
  let codec = opening.codec;
  let session: Session | undefined;
  let stream: WritableStreamDefaultWriter<Bytes> | undefined;
  let beside: WritableStreamDefaultWriter<Bytes> | undefined;

  const hangUp = (code = 1000) => {
    stopWaiting();
    const open = session;
    session = undefined;
    try {
      open?.close({ closeCode: code, reason: '' });
    } catch {
      // It never stood, or is closed.
    }
  };
  const end = (end: End) => {
    told.tell('ended', end);
    hangUp(end.kind === 'protocol' ? 1002 : 1000);
  };
  const failed = (outcome: AttemptOutcome, reason: string) => end({ kind: 'failed', outcome, reason });
  let stopWaiting = clock.after(connectMs, () => failed('blocked', 'nothing came back'));

  const run = async () => {
    const url = addressOf(opening, 'webtransport', ['https:', 'https:']);
    const Platform = WebTransport as NonNullable<typeof WebTransport>;
    const opened = new Platform(url.href, { protocols: [codec.name], ...certificates(opening.offer) });
    session = opened;
    opened.closed.catch(ignored); // Whoever reads hears of it.
    await opened.ready;
    if (opened.protocol !== codec.name) codec = json();
    const { readable, writable } = await opened.createBidirectionalStream();
    stopWaiting();
    stream = writable.getWriter();
    const { datagrams } = opened;
    beside = (datagrams.createWritable?.() ?? datagrams.writable)?.getWriter();
    told.tell('opened');
    readDatagrams(datagrams.readable).catch(ignored); // The stream says how the link ended.
    await read(readable);
  };

  const read = async (readable: ReadableStream<Uint8Array>) => {
    const splitter = codec.splitter?.() ?? lines(codec);
    const reader = readable.getReader();
    for (;;) {
      const { value } = await reader.read();
      const over: End | undefined = value
        ? told.heard(splitter.push(value))
        : { kind: 'lost', reason: 'the gateway ended the stream' };
      if (!over) continue;
      end(over);
      return;
    }
  };

  const readDatagrams = async (readable: ReadableStream<Uint8Array>) => {
    const reader = readable.getReader();
    for (;;) {
      const { value } = await reader.read();
      if (!value) return;
      const frames = codec.decode(value).frames.filter(({ type }) => type === 'volatile');
      if (frames.length > 0) told.tell('received', frames);
    }
  };

  run().catch(async (error: unknown) => {
    const { message, streamErrorCode } = error as Error & { readonly streamErrorCode?: number | null };
    if (!stream) {
      // QUIC gives up too, and may be a little faster.
      failed(clock.now() - begun > connectMs / 2 ? 'blocked' : 'refused', message);
      return;
    }
    const code = streamErrorCode ?? (await closeCode()) ?? 0;
    end(code >= 1000 && code < 5000 ? { kind: 'closed', code } : { kind: 'lost', reason: message });
  });

  /** What the session was closed with, if that is told soon. */
  const closeCode = () =>
    new Promise<number | undefined>((tell) => {
      clock.after(LAST_WORD_MS, () => tell(undefined));
      session?.closed.then((info) => tell(info?.closeCode), () => tell(undefined));
    });

  const bytesOf = (message: readonly UpFrame[]): Bytes => {
    const encoded = codec.encode(message);
    return typeof encoded === 'string' ? new TextEncoder().encode(encoded) : encoded;
  };
  const write = (writer: typeof stream, bytes: Bytes) => void writer?.write(bytes).catch(ignored); // A failure is read.
  return {
    get codec() {
      return codec.name;
    },
    transmit(message) {
      if (!told.isOver) write(stream, bytesOf(message));
    },
    transmitVolatile(message) {
      if (told.isOver) return;
      for (const bytes of message.map((frame) => bytesOf([frame]))) {
        const writer = bytes.length > (session?.datagrams.maxDatagramSize ?? 0) ? stream : (beside ?? stream);
        if ((writer?.desiredSize ?? 0) > 0) write(writer, bytes);
      }
    },
    poll() {},
    post() {},
    close(inPeace) {
      told.stop(inPeace && !!stream);
      if (!inPeace || !stream) {
        hangUp();
        return;
      }
      // The gateway has its last word, which is read and not told; then whoever reads tells the end, and hangs up.
      stream.close().catch(ignored);
      stopWaiting = clock.after(GOODBYE_MS, () => hangUp());
    },
  };
}

const ignored = () => undefined;

/** Those that the offer names: a certificate that everybody trusts needs none. */
function certificates(offer: Offer | undefined): Pick<SessionOptions, 'serverCertificateHashes'> {
  const hashes = offer?.certificateHashes ?? [];
  const value = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  const accepted = hashes.map((hex) => ({ algorithm: 'sha-256', value: value(hex) }));
  return accepted.length > 0 ? { serverCertificateHashes: accepted } : {};
}

/** How long a closed session is asked for its code. */
const LAST_WORD_MS = 250;

/** How long a goodbye may take (docs/protocol.md, WebTransport). */
const GOODBYE_MS = 5_000;
