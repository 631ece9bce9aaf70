// How the session stands, why it is on the transport that it is on, what was tried, and who is in its channels.

const NAMES = { webtransport: 'WebTransport', websocket: 'WebSocket', sse: 'SSE', polling: 'Polling' };
const SHOWN_ATTEMPTS = 8;
const SHOWN_MEMBERS = 12;
/** How the use of a transport ended. */
const OUTCOMES = {
  proven: 'works',
  refused: 'refused',
  hung: 'never answered',
  blocked: 'nothing came back',
  silent: 'fell silent',
  buffered: 'held back on the way',
  late: 'another was faster',
  lost: 'lost',
  drained: 'left as asked',
  preferred: 'left for another',
  unsupported: 'cannot be had',
};
const at = (id) => document.getElementById(id);

// Shown at most once a frame, and in a hidden tab too, where frames stand still.
let isShowing = false;
function showSoon() {
  if (isShowing) return;
  isShowing = true;
  setTimeout(() => {
    isShowing = false;
    show();
  }, 16);
}

function show() {
  const { session } = page;
  const explanation = session.explain();
  showState(session.state);
  setText(at('why'), String(explanation));
  setText(at('session'), session.id ?? 'none yet');
  setText(at('links'), String(page.links));
  setText(at('after'), String(page.after));
  setText(at('unanswered'), String(page.unanswered));
  showControls(session.state);
  showAttempts(explanation.attempts);
  showChannels();
}

function showState({ name, transport, reason, retryAt }) {
  const state = name === 'waiting' && reason === 'offline' ? 'offline' : name;
  const text = {
    live: `live by ${NAMES[transport]}`,
    connecting: 'connecting',
    recovering: `recovering: ${reason}`,
    waiting: `waiting: ${reason}`,
    offline: 'offline',
    closed: `closed: ${reason}`,
  }[state];
  setText(at('state-text'), text);
  Object.assign(at('state').dataset, { state, transport: transport ?? '' });
  const isWaiting = name === 'waiting' && retryAt !== undefined;
  setText(at('countdown'), isWaiting ? `next attempt in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1_000))} s` : '');
}

function showControls({ name }) {
  const isClosed = name === 'closed';
  at('offline').setAttribute('aria-pressed', String(page.isOffline));
  setText(at('offline'), page.isOffline ? 'Come back' : 'Go offline');
  setText(at('bye'), isClosed ? 'Open a session' : 'Say goodbye');
  at('cut').disabled = name !== 'live';
  for (const control of ['offline', 'transport']) at(control).disabled = isClosed;
  for (const option of at('transport').options) {
    if (!(option.value in NAMES)) continue;
    const reason = whyNot(option.value);
    option.dataset.name ??= option.text;
    option.disabled = reason !== undefined;
    setText(option, reason === undefined ? option.dataset.name : `${option.dataset.name} (${reason})`);
  }
}

/** Why a transport cannot be had here; nothing where it can. */
function whyNot(name) {
  const { offers } = page.session.explain();
  if (offers.length > 0 && !offers.some((offer) => offer.name === name)) return 'not offered';
  return order.find((transport) => transport.name === name).missing();
}

/** Newest first. Ages change, so rows are made anew only where something was tried since. */
function showAttempts(attempts) {
  const shown = attempts.slice(-SHOWN_ATTEMPTS).reverse();
  const list = at('attempts');
  const key = JSON.stringify(shown.map(({ transport, outcome, tookMs, reason }) => [transport, outcome, tookMs, reason]));
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...shown.map(attemptRow));
  }
  shown.forEach(({ agoMs }, place) => setText(list.children[place].querySelector('.when'), ago(agoMs)));
}

function attemptRow({ transport, outcome, reason, tookMs }) {
  const took = tookMs < 1_000 ? `${Math.round(tookMs)} ms` : `${(tookMs / 1_000).toFixed(1)} s`;
  const how = outcome === 'unsupported' ? OUTCOMES[outcome] : `${OUTCOMES[outcome] ?? outcome} after ${took}`;
  const row = document.createElement('li');
  Object.assign(row.dataset, { transport, outcome });
  row.append(span('via', NAMES[transport]), span('when', ''), span('how', reason && outcome !== 'proven' ? `${how}: ${reason}` : how));
  return row;
}

function ago(ms) {
  const seconds = Math.round(ms / 1_000);
  return seconds < 60 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

function showChannels() {
  const list = at('channels');
  for (const row of [...list.children]) if (page.channels.get(row.dataset.channel)?.channel !== row.channel) row.remove();
  for (const [name, { channel }] of page.channels) {
    const row = [...list.children].find((held) => held.dataset.channel === name) ?? list.appendChild(channelRow(name, channel));
    row.dataset.freshness = channel.freshness.name;
    setText(row.querySelector('.offset'), channel.position ? `@${channel.position.offset}` : '…');
    setText(row.querySelector('.freshness'), channel.freshness.name === 'live' ? '' : channel.freshness.name);
    showMembers(row.querySelector('.members'), channel);
  }
}

function channelRow(name, channel) {
  const row = document.createElement('li');
  row.dataset.channel = name;
  row.channel = channel;
  const leave = document.createElement('button');
  leave.type = 'button';
  leave.textContent = '×';
  leave.ariaLabel = `Unsubscribe from ${name}`;
  leave.onclick = () => channel.leave();
  const members = document.createElement('ul');
  members.className = 'members';
  members.ariaLabel = `Who is in ${name}`;
  row.append(span('name', name), span('offset', ''), span('freshness', ''), leave, members);
  return row;
}

function showMembers(list, { members }) {
  const all = [...members.values()];
  const key = all.map(({ session }) => session).join();
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.dataset.count = all.length;
  const shown = all.slice(0, SHOWN_MEMBERS).map(({ session, user }) => {
    const row = document.createElement('li');
    row.dataset.member = session;
    row.textContent = session === page.session.id ? 'you' : (user ?? short(session));
    return row;
  });
  const more = document.createElement('li');
  more.textContent = `and ${all.length - SHOWN_MEMBERS} more`;
  list.replaceChildren(...shown, ...(all.length > SHOWN_MEMBERS ? [more] : []));
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function span(name, text) {
  const element = document.createElement('span');
  element.className = name;
  element.textContent = text;
  return element;
}
