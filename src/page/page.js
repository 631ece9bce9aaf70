// The page: what the session is at, and what came. Whatever came from the network is set as text, never as markup.

const ROWS = 300; // what the list keeps
const SHOWN_ATTEMPTS = 6;
const TRANSPORTS = { webtransport: 'WebTransport', websocket: 'WebSocket', sse: 'SSE', polling: 'polling' };
/** How it went, and then: after how long. */
const OUTCOMES = {
  proven: 'works',
  refused: 'refused',
  hung: 'never answered',
  blocked: 'no answer by UDP',
  silent: 'fell silent',
  buffered: 'held back on the way',
  late: 'another was faster',
  lost: 'lost',
  drained: 'left as asked',
  preferred: 'left for another',
};
const at = (id) => document.getElementById(id);

const base = location.pathname.replace(/\/+$/, '');
const report = { state: () => requestShow(), item: showItem, volatile: showVolatile, note: showNote };
const session = new Session(base, report);

// Shown at most once a frame, and in a hidden tab too, where frames stand still.
let isShowing = false;
function requestShow() {
  if (isShowing) return;
  isShowing = true;
  setTimeout(() => {
    isShowing = false;
    showState();
  }, 16);
}

function showState() {
  const { state, reason, active } = session;
  const via = TRANSPORTS[active?.name];
  const seconds = Math.max(0, (session.backAt - Date.now()) / 1_000);
  const text = {
    live: `live by ${via}`,
    connecting: `connecting by ${via}`,
    waiting: `${reason ? `${reason}: ` : ''}back in ${seconds.toFixed(0)} s`,
    stopped: `stopped: ${reason}`,
    offline: 'offline',
  }[state];
  setText(at('state'), text);
  at('state').dataset.state = state;
  at('state').dataset.transport = active?.name ?? '';
  setText(at('session'), session.id ?? 'none yet');
  setText(at('token'), session.token ? '•••••••• (hidden)' : 'none yet');
  setText(at('after'), String(session.after));
  setText(at('commands'), `${session.next - 1 - session.commands.size} of ${session.next - 1}`);
  setText(at('attach'), String(session.attach));
  setText(at('incarnation'), String(session.incarnation));
  const isAway = state === 'offline' || state === 'stopped';
  at('offline').setAttribute('aria-pressed', String(isAway));
  setText(at('offline'), isAway ? 'Come back' : 'Stay offline');
  at('cut').disabled = !active;
  showChoice();
  showChannels();
}

/** What can be picked, why it is on the transport that it is on, and how the last attempts went. */
function showChoice() {
  const { choice } = session;
  for (const option of at('transport').options) {
    if (!(option.value in TRANSPORTS)) continue;
    const reason = choice.whyNot(option.value);
    option.dataset.name ??= option.text;
    option.disabled = reason !== null;
    setText(option, reason ? `${option.dataset.name} (${reason})` : option.dataset.name);
  }
  setText(at('why'), why());
  if (at('attempts').firstChild?.attempt === choice.attempts[0]) return;
  at('attempts').replaceChildren(...choice.attempts.slice(0, SHOWN_ATTEMPTS).map(attemptRow));
}

function why() {
  const { active, choice, probes, state } = session;
  if (state !== 'live') return '\u00a0';
  const better = choice.preferred(active.name).map((name) => {
    const outcome = choice.last(name);
    const how = probes.has(name) ? 'being tried' : outcome ? OUTCOMES[outcome] : 'to be tried';
    return `${TRANSPORTS[name]}: ${how}`;
  });
  if (better.length > 0) return `For now. ${better.join('; ')}.`;
  return choice.wanted === 'auto' ? 'The best that is offered and works here.' : 'As picked.';
}

function attemptRow(attempt) {
  const { name, outcome, tookMs, at: when } = attempt;
  const took = tookMs < 1_000 ? `${tookMs} ms` : `${(tookMs / 1_000).toFixed(1)} s`;
  const how = outcome === 'unsupported' ? session.choice.whyNot(name) : `${OUTCOMES[outcome]} after ${took}`;
  const row = document.createElement('li');
  Object.assign(row.dataset, { transport: name, outcome });
  row.append(span('transport', TRANSPORTS[name] ?? name), span('when', new Date(when).toLocaleTimeString()), span('how', how));
  row.attempt = attempt;
  return row;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showChannels() {
  const list = at('channels');
  for (const row of [...list.children]) if (!session.channels.has(row.dataset.channel)) row.remove();
  for (const [channel, { offset }] of session.channels) {
    let row = [...list.children].find((held) => held.dataset.channel === channel);
    if (!row) {
      row = document.createElement('li');
      row.dataset.channel = channel;
      const leave = document.createElement('button');
      leave.type = 'button';
      leave.textContent = '×';
      leave.ariaLabel = `Unsubscribe from ${channel}`;
      leave.onclick = () => session.unsubscribe(channel);
      row.append(channel, ' ', span('offset', ''), leave);
      list.append(row);
    }
    setText(row.querySelector('.offset'), `@${offset}`);
  }
}

function showItem(number, item, transport) {
  const row = document.createElement('li');
  Object.assign(row.dataset, { kind: item.type, number, transport });
  if (item.channel !== undefined) row.dataset.channel = item.channel;
  if (item.offset !== undefined) row.dataset.offset = item.offset;
  row.append(
    span('number', String(number)),
    span('via', TRANSPORTS[transport]),
    span('where', where(item)),
    span('what', what(item)),
  );
  show(row);
}

function where({ type, channel, offset, command }) {
  if (type === 'event') return `${channel}@${offset}`;
  return channel ?? (command === undefined ? '' : `command ${command}`);
}

function what(item) {
  const said = 'data' in item ? JSON.stringify(item.data) : item.bytes !== undefined ? `${item.bytes} (base64)` : '';
  switch (item.type) {
    case 'event':
      return item.name ? `${item.name} ${said}` : said;
    case 'subscribed':
      return `subscribed at offset ${item.position.offset}${item.recovered ? '' : ', not all is held'}`;
    case 'unsubscribed':
      return `unsubscribed: ${item.reason}`;
    case 'reply':
      if (!item.ok) return `refused: ${item.error.message}`;
      return item.position ? `published at offset ${item.position.offset}` : `done ${said}`;
    case 'gap': {
      const from = item.from ? `after ${item.from.offset} ` : '';
      if (item.reason === 'epoch') return `gap: the log began anew; events ${from}may be missing`;
      return `gap: events ${from}up to ${item.to.offset} will not come (${item.exact ? '' : 'at most, '}${item.reason})`;
    }
    default:
      return `an item of a later version: ${item.type}`;
  }
}

/** What may be lost has no number. */
function showVolatile(frame, transport) {
  const row = document.createElement('li');
  Object.assign(row.dataset, { kind: 'volatile', transport, channel: frame.channel });
  row.append(span('number', '~'), span('via', TRANSPORTS[transport]), span('where', frame.channel), span('what', what({ ...frame, type: 'event' })));
  show(row);
}

function showNote(text) {
  const row = document.createElement('li');
  row.dataset.kind = 'note';
  row.append(span('number', ''), span('what', text));
  show(row);
}

function show(row) {
  const list = at('items');
  at('empty').hidden = true;
  list.prepend(row);
  while (list.children.length > ROWS) list.lastChild.remove();
}

function span(name, text) {
  const element = document.createElement('span');
  element.className = name;
  element.textContent = text;
  return element;
}

at('subscribe-form').onsubmit = (event) => {
  event.preventDefault();
  session.subscribe(at('subscribe-channel').value);
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
  session.publish(at('publish-channel').value, data);
};
at('transport').onchange = ({ target }) => session.pick(target.value);
at('cut').onclick = () => session.cut();
at('offline').onclick = () => (session.state === 'offline' || session.state === 'stopped' ? session.start() : session.goOffline());
at('clear').onclick = () => at('items').replaceChildren();
addEventListener('online', () => session.doubt());
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && session.doubt());

// The first answer comes by a poll, which works everywhere; what is better is tried beside it.
at('transport').value = 'auto'; // also after a reload, where browsers would keep what was picked
session.start();
