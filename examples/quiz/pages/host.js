// The host's page, for the wall: makes a game and moves it on. It hears the game on the host's channel, where every answer
// brings its score at once, and shows scores only once the question is closed. Who is there it hears on the players' channel.

import { UNKNOWN, ServerClock, apply, ranking, words } from './game.js';
import { badge, drawn, enter } from './link.js';
import { $, Countdown, SHAPES, announce, element, mark, notice, shape, show } from './stage.js';

const SHOWN = 8; // as many as a leaderboard on a wall has room for

const session = enter('host');
const clock = new ServerClock();
const countdown = new Countdown(clock, $('seconds'), $('bar'));
badge($('badge'), session);

let code;
let channel; // the host's
let lobby; // the players', for its presence
let game = UNKNOWN;

const remembered = sessionStorage['quiz:hosted'];
if (remembered) open(remembered);
else begin();

$('create').addEventListener('submit', async (event) => {
  event.preventDefault();
  notice('');
  const told = { seconds: Number($('limit').value), questions: Number($('questions').value) };
  const button = $('create').querySelector('button');
  button.disabled = true;
  try {
    // Under an id of its own, so that a second try makes no second game.
    const { data } = await session.send('quiz', told, { name: 'create', id: drawn() });
    open(data.code);
  } catch (error) {
    notice(words(error));
  } finally {
    button.disabled = false;
  }
});

$('next').addEventListener('click', () => {
  if (['over', 'gone'].includes(document.body.dataset.screen)) return begin();
  notice('');
  const [name, data] = game.phase === 'lobby' ? ['start', {}] : ['next', { step: game.step }];
  // What was clicked twice is refused the second time, and that is as it should be.
  channel.send(data, { name }).catch((error) => error.code !== 'not_now' && notice(words(error)));
});

/** Shows the form. */
function begin() {
  channel?.leave();
  lobby?.leave();
  countdown.stop();
  code = channel = lobby = undefined;
  game = UNKNOWN;
  delete sessionStorage['quiz:hosted'];
  for (const id of ['join-at', 'here', 'controls']) $(id).hidden = true;
  mark({ name: 'live' });
  show('create');
}

/** Takes up a game: its state and all that changes it, and who is there. */
function open(of) {
  code = sessionStorage['quiz:hosted'] = of;
  const snapshot = async ({ signal }) => {
    const { data } = await session.send(`host:${of}`, {}, { name: 'state', signal });
    clock.heard(data.state.now);
    return data;
  };
  channel = session.subscribe(`host:${of}`, { snapshot });
  channel.on('snapshot', ({ state }) => render(state));
  channel.on('event', (event) => {
    clock.heard(event.time);
    render(apply(game, event));
  });
  channel.on('freshness', mark);
  mark(channel.freshness);
  const mine = channel;
  channel.subscribed.catch((error) => mine === channel && error.code !== 'session_closed' && begin());
  lobby = session.subscribe(`game:${of}`, { presence: true });
  lobby.on('presence', () => people());
  for (const id of ['address', 'big-address']) $(id).textContent = location.host;
  for (const id of ['small-code', 'big-code']) $(id).textContent = of;
}

function render(now) {
  const before = game;
  game = now;
  const screen = game.phase === 'ended' ? 'gone' : game.phase;
  const isNew = show(screen, { focus: false }) || game.step !== before.step;
  $('join-at').hidden = screen === 'lobby';
  $('here').hidden = $('controls').hidden = false;
  people();
  ({ question, result, standings, over })[screen]?.(isNew);
  if (screen !== 'question') countdown.stop();
  control(screen);
}

/** The one button, which stays where it is and keeps the focus. */
function control(screen) {
  const isLast = game.question && game.question.index + 1 === game.question.of;
  const labels = {
    lobby: 'Start', question: 'Close the question', result: isLast ? 'Show the podium' : 'Show the leaderboard',
    standings: 'Next question', over: 'Host another quiz', gone: 'Host another quiz',
  };
  const button = $('next');
  if (button.textContent !== labels[screen]) button.textContent = labels[screen];
  button.disabled = screen === 'lobby' && game.players.length === 0;
  $('hint').textContent = screen === 'lobby' && game.players.length === 0 ? 'It starts once somebody has joined.' : '';
}

/** Who plays, and who of them is not there at the moment. */
function people() {
  const here = new Set([...(lobby?.members.values() ?? [])].map(({ user }) => user));
  const isHere = ({ user }) => here.has(user);
  const count = game.players.filter(isHere).length;
  $('here-number').textContent = String(count);
  $('present-title').textContent = game.players.length ? `${game.players.length} in the game` : 'Waiting for players';
  const shown = new Map([...$('people').children].map((item) => [item.dataset.player, item]));
  for (const player of game.players) {
    const known = shown.get(String(player.player));
    shown.delete(String(player.player));
    const item = known ?? person(player);
    item.classList.toggle('away', !isHere(player));
    item.querySelector('small').textContent = isHere(player) ? '' : 'away';
    if (!known) $('people').append(item);
  }
  for (const item of shown.values()) item.remove();
}

function person({ player, name }) {
  const remove = element('button', { type: 'button', class: 'remove', 'aria-label': `Remove ${name}` }, '×');
  remove.addEventListener('click', () => channel.send({ player }, { name: 'kick' }).catch((error) => notice(words(error))));
  return element('li', { 'data-player': player }, element('span', {}, name), element('small', {}), remove);
}

function question(isNew) {
  const { question, players } = game;
  $('answers').textContent = String(question.answers);
  $('players').textContent = String(players.length);
  if (!isNew) return;
  $('of').textContent = `Question ${question.index + 1} of ${question.of}`;
  $('question').textContent = question.text;
  $('choices').replaceChildren(
    ...question.choices.map((text, index) => element('li', { class: `choice c${index}` }, shape(index), element('span', {}, text))),
  );
  countdown.run(question);
  announce(`Question ${question.index + 1}: ${question.text}`);
}

function result(isNew) {
  if (!isNew) return;
  const { question, bars, right } = game;
  const most = Math.max(1, ...bars);
  $('result-question').textContent = question.text;
  $('bars').replaceChildren(
    ...question.choices.map((text, index) => {
      const bar = element('div', { class: `bar c${index}`, 'aria-hidden': 'true' });
      bar.style.setProperty('--share', String(bars[index] / most));
      const isRight = index === right;
      const label = element('p', {}, shape(index), element('span', {}, text));
      const tick = isRight ? element('b', { class: 'tick' }, '✓ right') : '';
      return element('li', { 'data-right': isRight }, element('b', { class: 'count' }, String(bars[index])), bar, label, tick);
    }),
  );
  announce(`Right is ${SHAPES[right]}: ${question.choices[right]}`);
}

/** First as it was before the question, then as it is: rows move to where they belong. */
function standings(isNew) {
  if (!isNew) return;
  const before = ranking(game.players, true).slice(0, SHOWN);
  const after = ranking(game.players).slice(0, SHOWN);
  const rows = new Map([...before, ...after].map((player) => [player.player, row(player)]));
  const place = (ranked) => {
    $('leaders').replaceChildren(...ranked.map(({ player, rank, shown }) => {
      const { item, at, points } = rows.get(player);
      at.textContent = String(rank);
      points.textContent = String(shown);
      return item;
    }));
  };
  place(before);
  const from = new Map([...rows.values()].map(({ item }) => [item, item.getBoundingClientRect().top]));
  place(after);
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  for (const item of $('leaders').children) {
    const offset = (from.get(item) || innerHeight) - item.getBoundingClientRect().top;
    const frames = [{ transform: `translateY(${offset}px)` }, { transform: 'none' }];
    item.animate(frames, { duration: 700, delay: 400, easing: 'cubic-bezier(.3, 1.2, .5, 1)', fill: 'backwards' });
  }
}

function row({ player, name, gained }) {
  const [at, points] = [element('b', {}), element('i', {})];
  const item = element('li', { 'data-player': player }, at, element('span', {}, name), element('em', {}, gained ? `+${gained}` : ''), points);
  return { item, at, points };
}

function over(isNew) {
  if (!isNew) return;
  const ranked = ranking(game.players);
  $('winner').textContent = ranked.length ? `${ranked.filter(({ rank }) => rank === 1).map(({ name }) => name).join(' and ')} wins!` : 'Nobody played';
  const step = ({ name, rank, score, player }) =>
    element('li', { 'data-place': rank, 'data-player': player }, element('span', { class: 'who' }, name),
      element('div', { class: 'block' }, element('b', {}, String(rank)), element('i', {}, `${score} points`)));
  $('podium').replaceChildren(...ranked.slice(0, 3).map(step));
  $('rest').replaceChildren(...ranked.slice(3, 8).map(({ name, score, player }) =>
    element('li', { 'data-player': player }, element('span', {}, name), element('i', {}, String(score)))));
  announce($('winner').textContent);
}
