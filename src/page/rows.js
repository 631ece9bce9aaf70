// What came, newest first: one row each. Whatever came from the network is set as text, never as markup.

const ROWS = 300; // what the list keeps

/** A row of the list. `number` and `offset` are those of an event. */
function item(kind, channel, where, what, { number, offset } = {}) {
  const transport = page.session.state.transport ?? '';
  const row = document.createElement('li');
  Object.assign(row.dataset, { kind, channel, transport });
  if (number !== undefined) Object.assign(row.dataset, { number, offset });
  const name = kind === 'event' || kind === 'volatile' ? NAMES[transport] ?? '' : '';
  row.append(span('number', number ?? (kind === 'volatile' ? '~' : '')), span('via', name), span('where', where), span('what', what));
  add(row);
}

function note(text) {
  const row = document.createElement('li');
  row.dataset.kind = 'note';
  row.append(span('number', ''), span('what', text));
  add(row);
}

function add(row) {
  const list = at('items');
  at('empty').hidden = true;
  list.prepend(row);
  while (list.children.length > ROWS) list.lastChild.remove();
}

function said({ name, data, bytes }) {
  const payload = bytes ? `${bytes.length} bytes` : data === undefined ? '' : JSON.stringify(data);
  return name ? `${name} ${payload}` : payload;
}

function missing({ from, to, exact, reason }) {
  const after = from ? `after ${from.offset} ` : '';
  if (reason === 'epoch') return `gap: the log began anew; events ${after}may be missing`;
  return `gap: events ${after}up to ${to.offset} will not come (${exact ? '' : 'at most, '}${reason})`;
}

function came({ kind, members, count }) {
  const who = members.map(({ session, user }) => user ?? short(session)).join(', ');
  return `${who} ${kind === 'join' ? 'came' : 'went'}; ${count} here`;
}

const short = (session) => session.slice(0, 6);
