// What the test page does and hears; the tests call it in the page (tests/page/tab.mjs).
'use strict';

const { bincode, connect, polling, sse, webSocket, webTransport } = throughline;
const makers = { webtransport: webTransport, websocket: webSocket, sse, polling };

/** In order, whatever the session and its channels told. */
const heard = { states: [], events: [], gaps: [], presence: [], lost: [], opened: [], shown: [], replies: [], failures: [] };
const channels = new Map();
let session;

addEventListener('pageshow', ({ persisted }) => heard.shown.push(persisted));

/** Opens the session, over all four transports unless some are named. */
function begin({ base, transports = Object.keys(makers), codec = 'json', ...options }) {
  session = connect(base, {
    transports: transports.map((name) => makers[name]()),
    ...(codec === 'bincode' && { codec: bincode() }),
    ...options,
  });
  session.on('state', (state) => heard.states.push(state));
  session.on('opened', (what) => heard.opened.push(what));
  session.on('lost', (what) => heard.lost.push(what));
}

function follow(name, options) {
  const channel = session.subscribe(name, options);
  channels.set(name, channel);
  channel.on('event', ({ data, position, number }) =>
    heard.events.push({ channel: name, data, offset: position.offset, number, transport: session.state.transport }));
  channel.on('gap', (gap) => heard.gaps.push(gap));
  channel.on('presence', ({ kind, members }) =>
    heard.presence.push({ channel: name, kind, sessions: members.map((member) => member.session) }));
  return channel.subscribed;
}

/** Sends, and writes down what came of it. */
function say(channel, data, options) {
  session.send(channel, data, options).then(
    ({ position }) => heard.replies.push({ data, offset: position?.offset }),
    (error) => heard.failures.push({ data, name: error.name, message: error.message }),
  );
}

/**
 * Says that the page is hidden, or shown again. A headless browser shows all of its tabs at once, so this is the one thing
 * that is made up: what the page reads, and the event that tells of it.
 */
function pretend(visibility) {
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => visibility });
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => visibility === 'hidden' });
  document.dispatchEvent(new Event('visibilitychange'));
}
