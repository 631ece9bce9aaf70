/**
 * One WebSocket: messages both ways, the codec as the subprotocol. docs/protocol.md, WebSocket.
 *
 * A page is not told why a handshake failed. What was answered in time counts as refused, what was not as hung.
 */

import { addressOf } from './address.js';
import { type End, whyOf } from '../end.js';
import type { AttemptOutcome, UpFrame } from '../protocol.js';
import { reports } from './reports.js';
import type { Link, Opening, Transport } from './transport.js';

/** As much of a WebSocket as is used: the platform's are one, and those of `ws`. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: unknown;
  onmessage: unknown;
  onerror: unknown;
  onclose: unknown;
  send(message: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  /** Where there is one, it cuts the connection without a word. */
  terminate?(): void;
}

export interface WebSocketOptions {
  /** In place of the platform's `WebSocket`; that of `ws`, for instance. */
  readonly WebSocket?: new (url: string, protocol: string) => Socket;
}

/** A WebSocket, where the platform has them or one is handed in. */
export const webSocket = (options: WebSocketOptions = {}): Transport => {
  const constructor = (): WebSocketOptions['WebSocket'] => options.WebSocket ?? globalThis.WebSocket;
  return {
    name: 'websocket',
    isDuplex: true,
    missing: () => (typeof constructor() === 'function' ? undefined : 'this platform has no WebSocket'),
    open: (opening) => open(opening, constructor()),
  };
};

function open(opening: Opening, WebSocket: WebSocketOptions['WebSocket']): Link {
  const { codec, clock, connectMs } = opening;
  const told = reports(opening.events);
  let socket: Socket | undefined;
  let isOpen = false;
  let why = '';

  const end = (end: End) => {
    stopWaiting();
    if (told.tell('ended', end)) socket?.close();
  };
  const failed = (outcome: AttemptOutcome, reason: string) => end({ kind: 'failed', outcome, reason });
  const stopWaiting = clock.after(connectMs, () => failed('hung', 'its handshake was not answered'));

  const opened = () => {
    stopWaiting();
    isOpen = socket?.protocol === codec.name;
    if (isOpen) told.tell('opened');
    else end({ kind: 'protocol', reason: 'the subprotocol was not agreed to' });
  };
  const received = ({ data }: { readonly data: string | ArrayBuffer }) => {
    const isText = typeof data === 'string';
    const fault: End | undefined =
      isText === (codec.name === 'throughline.v1.json')
        ? told.heard(codec.decode(isText ? data : new Uint8Array(data)))
        : { kind: 'protocol', reason: 'a message of the wrong kind' };
    if (fault) end(fault);
  };
  const closed = ({ code }: { readonly code: number }) => {
    const over: End = { kind: 'closed', code };
    const reason = why || whyOf(over);
    if (!isOpen) failed('refused', reason);
    else end(code === ABNORMAL || code === NO_STATUS ? { kind: 'lost', reason } : over);
  };

  try {
    const url = addressOf(opening, 'websocket', ['wss:', 'ws:']);
    socket = new (WebSocket as NonNullable<typeof WebSocket>)(url.href, codec.name);
    socket.binaryType = 'arraybuffer';
    socket.onopen = opened;
    socket.onmessage = received;
    socket.onclose = closed;
    // A page is told nothing by it; `ws` says why.
    socket.onerror = ({ message = '' }: { readonly message?: string }) => (why = message);
  } catch (error) {
    // The address is none, or the page may not open it; whoever opens this does not have its link yet.
    queueMicrotask(() => failed('refused', (error as Error).message));
  }

  const say = (message: readonly UpFrame[]) => {
    if (isOpen && !told.isOver) socket?.send(codec.encode(message));
  };
  return {
    transmit: say,
    transmitVolatile(message) {
      if (socket && socket.bufferedAmount < BUSY_BYTES) say(message);
    },
    poll() {},
    post() {},
    close(inPeace) {
      stopWaiting();
      told.stop(inPeace);
      if (inPeace || !socket?.terminate) socket?.close(1000);
      else socket.terminate();
    },
  };
}

const NO_STATUS = 1005;
const ABNORMAL = 1006;

/** How much may wait to be written before what may be lost is dropped. */
const BUSY_BYTES = 16 << 10;
