// What a page does when `chromium.mjs` calls it, and what it tells by `tell`: one session of the client, as it is by default.
//
//   post(hello)           {"posted": ms}: a bare POST of this, which the gateway answers at once
//   connect({channel, from, timing})
//                         {"on": transport or null} whenever that changes once it is subscribed,
//                         {"event": n, "after": ms since connect()} for each
//   send([channel, n])    {"replied": n}, and with which error, if it was not accepted
//   explain()             {"explained": TEXT}, for whoever looks for the cause of something
//   close()               {"closed": true}

'use strict';

const { connect, polling, sse, webSocket, webTransport } = throughline; // client.js
const base = new URL('.', location.href);
const say = (what) => tell(JSON.stringify(what));
let session;

globalThis.does = {
  async post(hello) {
    const begun = performance.now();
    const answer = await fetch(new URL('v1/poll', base), {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: hello,
    });
    await answer.text();
    const posted = performance.now() - begun;
    say(answer.ok ? { posted } : { error: `a bare POST is answered with ${answer.status}` });
  },

  connect({ channel, from, timing }) {
    const begun = performance.now();
    session = connect(base.href, { transports: [webTransport(), webSocket(), sse(), polling()], timing });
    const room = session.subscribe(channel, { from });
    room.on('event', ({ data }) => say({ event: data.n, after: performance.now() - begun }));
    let before = null;
    let isSubscribed = false;
    const show = () => {
      const on = (isSubscribed && session.state.transport) || null;
      if (on !== before) say({ on });
      before = on;
    };
    session.on('state', show);
    room.subscribed.then(() => {
      isSubscribed = true;
      show();
    });
  },

  send([channel, n]) {
    session.send(channel, { n }).then(
      () => say({ replied: n }),
      (error) => say({ replied: n, error: String(error) }),
    );
  },

  explain() {
    say({ explained: String(session.explain()) });
  },

  async close() {
    await session.close();
    say({ closed: true });
  },
};
