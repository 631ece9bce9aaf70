/**
 * Messages by HTTP, for the transports that make requests. `text/plain` needs no preflight; credentials are those of
 * the page's own origin. A page is not told why a request failed, so neither is the session.
 */

import type { Codec } from '../codec/codec.js';
import { type End, whyOf } from '../end.js';
import type { DownFrame, UpFrame } from '../protocol.js';
import { addressOf } from './address.js';
import { type Reports, reports } from './reports.js';
import type { Link, Opening } from './transport.js';

export interface HttpOptions {
  /** In place of the platform's `fetch`. */
  readonly fetch?: typeof fetch;
}

export const fetchMissing = ({ fetch = globalThis.fetch }: HttpOptions) => (): string | undefined =>
  typeof fetch === 'function' ? undefined : 'this platform has no fetch';

/** What came of a request: its answer, or how it ends the link. */
export type Answer = readonly DownFrame[] | End;

export const isAnswer = (answer: Answer): answer is readonly DownFrame[] => Array.isArray(answer);

type Read = (response: Response) => Promise<Answer>;

/** Requests of one kind, one at a time: another takes the place of one that has no answer. */
export interface Lane {
  /** Posts a message, and hands on what `read` makes of the response; nothing once the request is given up. */
  post(message: readonly UpFrame[], read: Read, then: (answer: Answer) => void): void;
  giveUp(): void;
}

/** Whether requests go without cookies, from now on. */
interface Way {
  isBare: boolean;
}

function lane(fetch: typeof globalThis.fetch, address: () => URL, codec: Codec, way: Way): Lane {
  let underWay: AbortController | undefined;
  const giveUp = () => underWay?.abort();
  const ask = async (message: readonly UpFrame[], signal: AbortSignal) =>
    fetch(address(), {
      method: 'POST',
      headers: { 'content-type': codec.mediaType },
      body: codec.encode(message),
      cache: 'no-store',
      ...(way.isBare && { credentials: 'omit' }),
      // No gateway redirects; whoever does so on the way is not to be handed the token.
      redirect: 'error',
      // A goodbye outlives its page.
      keepalive: message.some(({ type }) => type === 'bye'),
      signal,
    });
  return {
    post(message, read, then) {
      giveUp();
      const { signal } = (underWay = new AbortController());
      const unlessGivenUp = (answer: Answer) => {
        if (!signal.aborted) then(answer);
      };
      const failed = (error: unknown) => unlessGivenUp({ kind: 'lost', reason: reasonOf(error) });
      ask(message, signal).then(read).then(unlessGivenUp, failed);
    },
    giveUp,
  };
}

/** A link of two lanes: one down, for its transport to use, and one of posts beside it, which does not end with one that fails. */
export function lanes(opening: Opening, path: string, fetch: typeof globalThis.fetch, codec: Codec): { told: Reports; down: Lane; link: Link; way: Way } {
  const told = reports(opening.events);
  const address = () => addressOf(opening, path, ['https:', 'http:']);
  const way = { isBare: false };
  const down = lane(fetch, address, codec, way);
  const posts = lane(fetch, () => new URL('send', address()), codec, way);
  const link: Link = {
    codec: codec.name,
    transmit() {},
    transmitVolatile() {},
    poll() {},
    post(post, message) {
      posts.post(
        message,
        (response) => answerOf(codec, response),
        (answer) => told.tell('posted', post, isAnswer(answer) ? answer : whyOf(answer)),
      );
    },
    close(inPeace) {
      told.stop(false);
      down.giveUp();
      if (!inPeace) posts.giveUp();
    },
  };
  return { told, down, link, way };
}

/** What went wrong, for a person. Node keeps the reason behind the error. */
export function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}

/** Reads a response to its end: its frames, or how it ends the link. Each piece of it is heard. */
export async function answerOf(codec: Codec, response: Response, heard?: () => void): Promise<Answer> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  let length = 0;
  while (reader) {
    const { value } = await reader.read();
    if (!value) break;
    length += value.length;
    if (length > LARGEST_BYTES) {
      void reader.cancel();
      return { kind: 'protocol', reason: 'an answer is too large' };
    }
    pieces.push(value);
    heard?.();
  }
  const { frames, fault } = codec.decode(joined(pieces, length));
  const isPage = /^text\/html/i.test(response.headers.get('content-type') ?? '');
  if (response.ok && fault) return { kind: 'protocol', reason: isPage ? 'this is no gateway: a page was answered' : fault.message };
  if (response.ok) return frames;
  // A refusal that the protocol can express is a message too, whatever its status.
  return fault || frames.length === 0 ? refusal(response) : frames;
}

/** Not by a `Blob`: a browser keeps its bytes in another process, which is milliseconds before the first event. */
function joined(pieces: readonly Uint8Array<ArrayBuffer>[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** How a link ends that was answered with this status. `Retry-After` counts up to an hour. */
export function refusal({ status, headers }: Response): End {
  const seconds = /^\d+$/.exec(headers.get('retry-after') ?? '');
  return { kind: 'refused', status, ...(seconds && { retryAfterMs: Math.min(Number(seconds[0]), 3_600) * 1_000 }) };
}

const LARGEST_BYTES = 4 << 20;
