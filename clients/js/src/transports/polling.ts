/**
 * Long-polling: one request parked, and one lane beside it for posts. docs/protocol.md, Long-polling.
 *
 * When to poll again, and how long to wait for an answer, is the session's to say.
 */

import { answerOf, fetchMissing, isAnswer, lanes } from './http.js';
import type { HttpOptions } from './http.js';
import type { Link, Opening, Transport } from './transport.js';

/** Long-polling by `fetch`: what works where nothing else does. */
export const polling = (options: HttpOptions = {}): Transport => ({
  name: 'polling',
  isDuplex: false,
  missing: fetchMissing(options),
  open: (opening) => open(opening, options),
});

function open(opening: Opening, { fetch = globalThis.fetch }: HttpOptions): Link {
  const { codec } = opening;
  const { told, down, link, way } = lanes(opening, 'poll', fetch, codec);
  return {
    ...link,
    poll(attach, message, isBare = false) {
      way.isBare = isBare;
      down.post(
        message,
        (response) => answerOf(codec, response, () => told.tell('alive')),
        (answer) => (isAnswer(answer) ? told.tell('answered', attach, answer) : told.tell('ended', answer)),
      );
    },
  };
}
