// A player's page: join, answer, see how it went. What is shown is one state, which the game's channel says and what the
// player did changes at once; a refusal takes it back.

import { optimistic } from './client.js';
import { UNKNOWN, ServerClock, apply, ranking, words } from './game.js';
import { badge, enter } from './link.js';
import { $, Countdown, SHAPES, announce, element, mark, notice, shape, show } from './stage.js';

const session = enter('player');
const clock = new ServerClock();
const countdown = new Countdown(clock, $('seconds'), $('bar'));
badge($('badge'), session);

/** The game that this page is in: its channel, what is seen of it, the seat, and what was chosen by question. */
let room;
let view;
let seat;
const chosen = new Map();

// What the page before this one sent and had no reply of goes on by itself; the channel does not tell what was chosen.
session.restored.then((commands) => {
  for (const { command, outcome } of commands) {
    if (command.name === 'answer') chosen.set(command.data.question, command.data.choice);
    outcome.catch(() => {});
  }
});

const remembered = sessionStorage['quiz:code'];
if (remembered) open(remembered);
else ask(new URLSearchParams(location.search).get('code') ?? '');

$('join').addEventListener('submit', async (event) => {
  event.preventDefault();
  notice('');
  const code = $('code').value.trim().toUpperCase();
  const name = $('name').value.trim();
  if (!code || !name) return refuse(code ? $('name') : $('code'), code ? 'Type your name.' : 'Type the code on the big screen.');
  $('enter').disabled = true;
  try {
    if (room?.name !== `game:${code}`) open(code);
    await room.subscribed;
    const { data } = await session.send(room.name, { name }, { name: 'join' });
    seat = data.player;
    sessionStorage['quiz:code'] = code;
    sessionStorage['quiz:name'] = name;
    render();
  } catch (error) {
    if (error.code === 'game_unknown') close();
    refuse(error.code === 'game_unknown' ? $('code') : $('name'), words(error));
  } finally {
    $('enter').disabled = false;
  }
});

for (const button of document.querySelectorAll('[data-again]')) {
  button.addEventListener('click', () => {
    close();
    history.replaceState(null, '', location.pathname);
    ask('');
  });
}

document.addEventListener('keydown', ({ key, target, repeat, ctrlKey, metaKey, altKey }) => {
  const isTyping = target.closest('input') || repeat || ctrlKey || metaKey || altKey;
  if (!isTyping && document.body.dataset.screen === 'question' && '1234'.includes(key)) {
    $('choices').children[Number(key) - 1]?.click();
  }
});

/** Shows the form. */
function ask(code) {
  $('code').value = code;
  $('name').value ||= sessionStorage['quiz:name'] ?? '';
  $('header-code').textContent = '';
  $('score').hidden = true;
  document.body.dataset.freshness = 'live';
  document.querySelector('main').setAttribute('aria-busy', 'false');
  show('join', { focus: false });
  (code ? $('name') : $('code')).focus();
}

function refuse(field, text) {
  notice(text);
  field.setAttribute('aria-invalid', 'true');
  field.addEventListener('input', () => field.removeAttribute('aria-invalid'), { once: true });
  field.focus();
}

/** Goes into a game: one round trip brings the game as it is and what changes it. */
function open(code) {
  close();
  const snapshot = async ({ signal }) => {
    const had = seat;
    const { data } = await session.send(`game:${code}`, {}, { name: 'state', signal });
    const { state, position } = data;
    clock.heard(state.now);
    seat = state.you?.player ?? seat;
    if (had !== undefined && !state.you) queueMicrotask(left); // while this page was away
    return { state: { ...state, choice: state.you?.choice ?? null }, position };
  };
  room = session.subscribe(`game:${code}`, { presence: true, snapshot });
  room.on('event', ({ name, data, time }) => {
    clock.heard(time);
    if (name === 'kicked' && data.player === seat) queueMicrotask(left);
  });
  room.on('freshness', mark);
  const mine = room;
  room.subscribed.catch((error) => {
    if (mine !== room || error.code === 'session_closed') return;
    const wasIn = sessionStorage['quiz:code'] === code;
    close();
    if (wasIn) gone('This game is over and has been put away.');
    else ask(code);
  });
  view = optimistic(room, { initial: UNKNOWN, apply: applied });
  view.on('change', render);
  mark(room.freshness);
}

/** As the game's rules have it; and what this player chose, which the channel does not say. */
function applied(game, event) {
  const next = apply(game, event);
  const isMine = event.name === 'answered' && event.data.player === seat;
  return isMine ? { ...next, choice: chosen.get(next.question?.index) ?? next.choice } : next;
}

function close() {
  view?.close();
  room?.leave();
  countdown.stop();
  room = view = seat = undefined;
  chosen.clear();
  delete sessionStorage['quiz:code'];
}

/** The host has had enough of this player. */
function left() {
  close();
  gone('The host has asked you to leave this game.');
}

function gone(text) {
  $('gone').textContent = text;
  $('score').hidden = true;
  show('gone');
}

/** Shown at once, and taken back if it is refused. */
function answer(choice) {
  const { question, phase, choice: before } = view.state;
  if (phase !== 'question' || before !== null) return;
  notice('');
  chosen.set(question.index, choice);
  const optimistic = (game) =>
    game.question?.index === question.index && game.phase === 'question' ? { ...game, choice, isPending: true } : game;
  const rollback = (error) => {
    chosen.delete(question.index);
    notice(words(error));
  };
  view.send({ question: question.index, choice }, { name: 'answer', optimistic, rollback }).catch(() => {});
}

function render() {
  const game = view?.state;
  if (!game || game.phase === 'loading') return;
  const me = game.players.find(({ player }) => player === seat);
  if (!me) {
    // The reply to `join` may come before its event. Without a seat, this page has been here and has not joined.
    if (seat === undefined && document.body.dataset.screen === 'opening') ask(game.code);
    return;
  }
  $('header-code').textContent = ` ${game.code ?? ''}`;
  $('score').hidden = false;
  $('score-number').textContent = String(me.score);
  const screen = game.phase === 'ended' ? 'gone' : game.phase;
  const isNew = show(screen) || game.step !== render.step;
  render.step = game.step;
  if (isNew) notice('');
  ({ lobby, question, result, standings, over, gone: ended })[screen]?.(game, me, isNew);
  if (screen !== 'question') countdown.stop();
}

function lobby(game, me) {
  $('lobby-name').textContent = me.name;
  $('crowd').textContent = String(game.players.length);
  $('crowd-word').textContent = game.players.length === 1 ? 'player' : 'players';
}

function question(game, me, isNew) {
  const { question, choice, isPending } = game;
  if (isNew) {
    $('of').textContent = `Question ${question.index + 1} of ${question.of}`;
    $('question').textContent = question.text;
    $('choices').replaceChildren(
      ...question.choices.map((text, index) => {
        const key = element('kbd', { 'aria-hidden': 'true' }, String(index + 1));
        const button = element('button', { type: 'button', class: `choice c${index}` }, shape(index), element('span', {}, text), key);
        button.addEventListener('click', () => answer(index));
        return button;
      }),
    );
    announce(question.text);
    countdown.run(question);
  }
  const isChosen = choice !== null;
  for (const [index, button] of [...$('choices').children].entries()) {
    button.setAttribute('aria-pressed', String(choice === index));
    button.setAttribute('aria-disabled', String(isChosen));
  }
  $('choices').dataset.pending = String(!!isPending);
  $('answer-status').dataset.state = isPending ? 'pending' : isChosen || me.answered ? 'taken' : 'open';
  $('answer-status').textContent = isPending
    ? 'Sending your answer …'
    : isChosen || me.answered
      ? `Your answer is in. ${question.answers} of ${game.players.length} have answered.`
      : '';
}

function result(game, me, isNew) {
  const isRight = game.choice === game.right;
  const isNone = game.choice === null && !me.answered;
  $('verdict').dataset.verdict = isRight ? 'right' : isNone ? 'none' : 'wrong';
  $('verdict-mark').textContent = isRight ? '✓' : isNone ? '…' : '✗';
  $('verdict-word').textContent = isRight ? 'Right!' : isNone ? 'No answer' : 'Not this time';
  $('gain').textContent = `+${me.gained}`;
  $('right').replaceChildren('It was ', shape(game.right), ` ${game.question.choices[game.right]}`);
  $('right').setAttribute('aria-label', `It was ${SHAPES[game.right]}: ${game.question.choices[game.right]}`);
  $('rank').textContent = place(game);
  if (isNew) announce(`${$('verdict-word').textContent} ${me.gained} points. ${place(game)}`);
}

function standings(game) {
  const ranked = ranking(game.players);
  const at = ranked.findIndex(({ player }) => player === seat);
  const from = Math.max(0, Math.min(at - 1, ranked.length - 3));
  $('standing').textContent = place(game);
  $('near').replaceChildren(
    ...ranked.slice(from, from + 3).map(({ player, name, rank, score }) =>
      element('li', { 'data-me': player === seat }, element('b', {}, `${rank}.`), element('span', {}, name), element('i', {}, String(score))),
    ),
  );
}

function over(game) {
  const { rank, score } = ranking(game.players).find(({ player }) => player === seat);
  $('medal').textContent = String(rank);
  $('medal').dataset.rank = String(rank);
  $('final').textContent = rank === 1 ? 'You win!' : place(game);
  $('final-score').textContent = `${score} points`;
}

function ended() {
  $('gone').textContent = 'Nothing happened for a long time, so the game was put away.';
}

/** "You are 2nd of 5". */
function place(game) {
  const { rank } = ranking(game.players).find(({ player }) => player === seat);
  const ending = new Intl.PluralRules('en', { type: 'ordinal' }).select(rank);
  return `You are ${rank}${{ one: 'st', two: 'nd', few: 'rd' }[ending] ?? 'th'} of ${game.players.length}`;
}
