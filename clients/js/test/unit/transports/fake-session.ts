/** A WebTransport session in the hands of a test. */

import type { Session, SessionOptions } from '../../../src/transports/webtransport.js';

type Bytes = Uint8Array<ArrayBuffer>;

export class FakeSession implements Session {
  static last: FakeSession | undefined;

  readonly url: string;
  readonly options: SessionOptions;
  /** What was written on the stream, and as datagrams. */
  readonly written: Bytes[] = [];
  readonly datagramsSent: Bytes[] = [];
  readonly closedWith: (number | undefined)[] = [];
  /** Whether the stream was ended from this side. */
  hasEnded = false;
  /** Holds back what is written. */
  holding: Promise<void> | undefined;
  protocol?: string;

  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ readonly closeCode?: number } | undefined>;
  readonly datagrams;
  #stand: (value?: unknown) => void = () => undefined;
  #refuse: (error: Error) => void = () => undefined;
  #closed: (info?: { readonly closeCode?: number }) => void = () => undefined;
  #gone: (error: Error) => void = () => undefined;
  #down: ReadableStreamDefaultController<Uint8Array> | undefined;
  #datagramsDown: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(url: string, options: SessionOptions) {
    this.url = url;
    this.options = options;
    this.ready = new Promise((resolve, reject) => ([this.#stand, this.#refuse] = [resolve, reject]));
    this.closed = new Promise((resolve, reject) => ([this.#closed, this.#gone] = [resolve, reject]));
    this.datagrams = {
      maxDatagramSize: 100,
      readable: new ReadableStream<Uint8Array>({ start: (controller) => void (this.#datagramsDown = controller) }),
      writable: new WritableStream<Bytes>({ write: (bytes) => this.#write(this.datagramsSent, bytes) }),
    };
    FakeSession.last = this;
  }

  createBidirectionalStream() {
    const readable = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#down = controller) });
    const writable = new WritableStream<Bytes>({
      write: (bytes) => this.#write(this.written, bytes),
      close: () => void (this.hasEnded = true),
    });
    return Promise.resolve({ readable, writable });
  }

  close(info?: { readonly closeCode: number }): void {
    this.closedWith.push(info?.closeCode);
    this.#refuse(new Error('closed'));
    this.#closed(info);
  }

  /** The handshake is done. */
  stand(protocol: string | undefined = this.options.protocols[0]): void {
    if (protocol !== undefined) this.protocol = protocol;
    this.#stand();
  }

  /** The handshake failed. */
  refuse(reason: string): void {
    this.#refuse(new Error(reason));
  }

  down(bytes: Uint8Array): void {
    this.#down?.enqueue(bytes);
  }

  datagram(bytes: Uint8Array): void {
    this.#datagramsDown?.enqueue(bytes);
  }

  /** FIN. */
  end(): void {
    this.#down?.close();
  }

  /** The stream broke: by a reset with a code, or with its session, which may say its own. */
  break(reason: string, { streamErrorCode, closeCode }: { streamErrorCode?: number; closeCode?: number } = {}): void {
    this.#down?.error(Object.assign(new Error(reason), { streamErrorCode: streamErrorCode ?? null }));
    if (closeCode !== undefined) this.#closed({ closeCode });
    else if (streamErrorCode === undefined) this.#gone(new Error(reason));
  }

  async #write(to: Bytes[], bytes: Bytes): Promise<void> {
    to.push(bytes);
    await this.holding;
  }
}
