// What a test asks of the gateway's admin API.

import assert from 'node:assert/strict';

/** Asks, or posts a body. */
export async function ask(served, path, body) {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(new URL(`api/v1/${path}`, served.admin), body && post);
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

export const publish = (served, channel, data) => ask(served, 'publish', { channel, data });

/** Publishes `{n: 1}`, `{n: 2}` … one after the other, until it is told to stop, and says how many there are. */
export function publishing(served, channel) {
  let isOver = false;
  const done = (async () => {
    let n = 0;
    while (!isOver) await publish(served, channel, { n: (n += 1) });
    return n;
  })();
  return () => {
    isOver = true;
    return done;
  };
}

/** A walk over transports in which each follows each other. */
export const everyMove = (transports) =>
  transports.flatMap((one, place) => [one, ...transports.slice(place + 1).flatMap((other) => [other, one])]);

/** What a page has to have so as to come onto a transport: how WebTransport is reached is said by the first answer. */
export const toUse = (transport) => (transport === 'webtransport' ? [transport, 'polling'] : [transport]);
