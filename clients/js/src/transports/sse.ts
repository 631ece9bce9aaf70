/**
 * An event stream down, read by `fetch` so that no token is in an address, and posts up. docs/protocol.md, Event
 * streams for clients of this protocol.
 *
 * It is text whatever the session's codec. It reports no `opened`: its hello went with its request.
 */

import { reading } from '../codec/fault.js';
import { json } from '../codec/json.js';
import { addressOf } from './address.js';
import { eventStream } from './event-stream.js';
import { answerOf, fetchMissing, isAnswer, lane, poster, refusal } from './http.js';
import type { Answer, HttpOptions } from './http.js';
import { reports } from './reports.js';
import type { Reports } from './reports.js';
import type { Link, Opening, Transport } from './transport.js';

/** Server-sent events by `fetch`: pushed by the gateway over plain HTTP. */
export const sse = (options: HttpOptions = {}): Transport => ({
  name: 'sse',
  isDuplex: false,
  missing: fetchMissing(options),
  open: (opening) => open(opening, options),
});

function open(opening: Opening, { fetch = globalThis.fetch }: HttpOptions): Link {
  const codec = json();
  const told = reports(opening.events);
  const address = () => addressOf(opening, 'events', ['https:', 'http:']);
  const stream = lane(fetch, address, codec);
  const posts = lane(fetch, () => new URL('send', address()), codec);
  stream.post(
    opening.hello ?? [],
    (response) => read(response, told),
    (end) => {
      stream.giveUp();
      if (!isAnswer(end)) told.tell('ended', end);
    },
  );
  return {
    transmit() {},
    transmitVolatile() {},
    poll() {},
    post: poster(posts, codec, told),
    close(inPeace) {
      told.stop(false);
      stream.giveUp();
      if (!inPeace) posts.giveUp();
    },
  };
}

/** Reads a stream to its end, and says what that was. */
async function read(response: Response, told: Reports): Promise<Answer> {
  const codec = json();
  told.tell('alive');
  if (!/^text\/event-stream/i.test(response.headers.get('content-type') ?? '') || !response.body) {
    const answer = await answerOf(codec, response);
    if (!isAnswer(answer)) return answer;
    told.tell('received', answer);
    return refusal(response);
  }
  const text = new TextDecoder('utf-8', { fatal: true });
  const events = eventStream();
  const reader = response.body.getReader();
  for (;;) {
    const { value } = await reader.read();
    if (!value) return { kind: 'lost', reason: 'the stream ended' };
    let data = '';
    // Each event is a message; what cannot be told apart any more follows those that can.
    const { fault: cut } = reading(() => (data = events(text.decode(value, { stream: true })).join('\n')));
    const decoded = codec.decode(data);
    const end = told.heard(cut && !decoded.fault ? { ...decoded, fault: cut } : decoded);
    if (end) return end;
  }
}
