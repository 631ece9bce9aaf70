// The page: one session of the client that stands before this script as `throughline`, and what a person does with it.
//
// How it is shown is in show.js, what came in rows.js. Which codec, and which channels, outlive a load of the page: the
// codec in the address, the channels beside the session in the tab's storage.

const { bincode, connect, polling, sse, webSocket, webTransport } = throughline;
const order = [webTransport(), webSocket(), sse(), polling()];
const codec = new URLSearchParams(location.search).get('codec') === 'bincode' ? 'bincode' : 'json';

const page = {
  session: undefined,
  channels: new Map(), // name -> { channel, presence }: what is subscribed, and whether it takes part
  links: 0, // how many have carried the session
  after: 0, // the last event's number
  unanswered: 0, // sends that wait for their reply
  isOffline: false,
};

/** Opens the session, or goes on with that of the page before. */
function open() {
  const session = connect('./', {
    transports: order,
    ...(codec === 'bincode' && { codec: bincode() }),
    client: { name: 'page', version: '1' },
  });
  page.session = session;
  Object.assign(window, { session }); // for whoever looks at it from the console
  const stood = (how) => () => {
    page.links += 1;
    note(`${NAMES[session.state.transport] ?? 'a link'} ${how} the session`);
    showSoon();
  };
  session.on('state', showSoon);
  session.on('opened', stood('opened'));
  session.on('resumed', stood('resumed'));
  session.on('lost', ({ reason }) => note(`the session is lost: ${reason}`));
  session.on('subscribed', ({ channel }) => hold(channel, false));
  session.restored.then((restored) => restored.forEach(({ command, outcome }) => answer(outcome, command.channel)));
  for (const [name, presence] of kept()) subscribe(name, presence);
  showSoon();
}

function subscribe(name, presence) {
  if (!page.channels.has(name)) hold(page.session.subscribe(name, { presence }), presence);
}

/** Shows what a channel tells, until it ends. `presence` is whether we take part in it. */
function hold(channel, presence) {
  page.channels.set(channel.name, { channel, presence });
  channel.on('event', (event) => {
    page.after = event.number;
    item('event', channel.name, `${channel.name}@${event.position.offset}`, said(event), {
      number: event.number,
      offset: event.position.offset,
    });
    showSoon();
  });
  channel.on('volatile', (volatile) => item('volatile', channel.name, channel.name, said(volatile)));
  channel.on('gap', (gap) => item('gap', channel.name, channel.name, missing(gap)));
  channel.on('presence', (change) => {
    if (change.kind !== 'state') item('presence', channel.name, channel.name, came(change));
    showSoon();
  });
  channel.on('freshness', showSoon);
  channel.on('subscribed', ({ position, recovered }) =>
    item('subscribed', channel.name, channel.name, `subscribed at offset ${position.offset}${recovered ? '' : ', not all is held'}`));
  channel.on('unsubscribed', ({ reason, error }) => {
    item('unsubscribed', channel.name, channel.name, error ? `refused: ${error.message}` : `unsubscribed: ${reason}`);
    page.channels.delete(channel.name);
    keep();
  });
  channel.subscribed.catch(() => {}); // `unsubscribed` says why
  keep();
}

function publish(channel, data) {
  // With an id it may be sent again in another session (C6).
  const id = Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(36)).join('-');
  answer(page.session.send(channel, data, { id }), channel);
}

/** Shows what is answered. */
async function answer(outcome, channel) {
  page.unanswered += 1;
  showSoon();
  try {
    const reply = await outcome;
    const what = reply.position ? `published at offset ${reply.position.offset}` : `done ${said(reply)}`;
    item('reply', channel, channel, what);
  } catch (error) {
    item('reply', channel, channel, error.name === 'Rejected' ? `refused: ${error.message}` : error.message);
  }
  page.unanswered -= 1;
  showSoon();
}

/** Remembers what is subscribed, for the page that is loaded next. */
function keep() {
  const held = [...page.channels].map(([name, { presence }]) => [name, presence]);
  try {
    sessionStorage.setItem('throughline:page', JSON.stringify(held));
  } catch {
    // Then the next page begins without.
  }
  showSoon();
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem('throughline:page')) ?? [];
  } catch {
    return [];
  }
}

/** Moves to a transport, or to the best one. It stays on what works where that does not. */
async function pick(name) {
  const best = order.find((transport) => !whyNot(transport.name))?.name;
  try {
    await page.session.migrate(name === 'auto' ? best : name);
  } catch (error) {
    note(`stays: ${error.message}`);
  }
  showSoon();
}

at('subscribe-form').onsubmit = (event) => {
  event.preventDefault();
  subscribe(at('subscribe-channel').value, at('presence').checked);
};
at('publish-form').onsubmit = (event) => {
  event.preventDefault();
  const text = at('publish-data').value;
  let data = text;
  try {
    data = JSON.parse(text);
  } catch {
    // Then it is just text.
  }
  publish(at('publish-channel').value, data);
};
at('transport').onchange = ({ target }) => pick(target.value);
at('codec').onchange = ({ target }) => {
  const address = new URL(location.href);
  address.searchParams.set('codec', target.value);
  location.replace(address);
};
at('cut').onclick = () => page.session.cut();
// As the browser says it when the network goes and comes.
at('offline').onclick = () => {
  page.isOffline = !page.isOffline;
  dispatchEvent(new Event(page.isOffline ? 'offline' : 'online'));
  if (page.isOffline) page.session.cut();
  showSoon();
};
at('bye').onclick = async () => {
  if (page.session.state.name === 'closed') return open();
  await page.session.close();
  showSoon();
};
at('clear').onclick = () => at('items').replaceChildren();

at('transport').value = 'auto';
at('codec').value = codec;
open();
setInterval(() => {
  if (page.isOffline && page.session.state.name === 'live') page.session.cut(); // another link stood beside the one that was cut
  show(); // what is tried is told by nobody, and a wait passes
}, 500);
