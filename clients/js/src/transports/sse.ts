/**
 * An event stream down, read by `fetch` so that no token is in an address, and posts up. docs/protocol.md, Event
 * streams for clients of this protocol.
 *
 * It is text whatever the session's codec. It reports no `opened`: its hello went with its request.
 */

import { reading } from '../codec/fault.js';
import { json } from '../codec/json.js';
import { eventStream } from './event-stream.js';
import { answerOf, fetchMissing, isAnswer, lanes, refusal } from './http.js';
import type { Answer, HttpOptions } from './http.js';
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
  const { told, down, link } = lanes(opening, 'events', fetch, json());
  down.post(
    opening.hello ?? [],
    (response) => read(response, told),
    (end) => {
      down.giveUp();
      if (!isAnswer(end)) told.tell('ended', end);
    },
  );
  return link;
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
