// A quiz in a real browser: a host's page, players' phones, and what happens to them in the middle of a game.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { browser } from '../page/browser.mjs';
import { Host, Player } from './people.mjs';
import { theatre } from './theatre.mjs';

const LIMIT = { timeout: 180_000 };

let quiz;
let chromium;

before(async () => {
  quiz = await theatre();
  chromium = await browser();
}, LIMIT);

after(async () => {
  await chromium?.close();
  await quiz?.stop();
}, LIMIT);

const hosts = () => Host.visit(chromium, quiz.host);
const comes = (name, prepare) => Player.visit(chromium, quiz.players, name, prepare);

/** Players who have joined, and whom the wall shows. */
async function join(host, ...names) {
  const players = [];
  for (const name of names) {
    const player = await comes(name);
    await player.joins(host.code);
    await player.sees('lobby');
    await host.showsPlayer(name);
    players.push(player);
  }
  return players;
}

test('a host and five players play a whole game, one late, one reloading, one away for a while', LIMIT, async () => {
  const host = await hosts();
  await host.sees('create');
  await host.isWellLaidOut('0-create');
  await host.opens({ questions: 3, seconds: 60 });
  await host.isWellLaidOut('1-empty-lobby');
  const [ann, bob, cleo] = await join(host, 'Ann', 'Bob', 'Cleo the Magnificent');
  // A browser that is told to be offline fails requests; streams of other kinds it leaves alone. So Dan's has none.
  const dan = await comes('Dan', () => {
    delete globalThis.WebTransport;
    delete globalThis.WebSocket;
  });
  await dan.sees('join');
  await dan.isWellLaidOut('1-join');
  await dan.joins(host.code);
  await dan.sees('lobby');
  await host.showsPlayer('Dan');
  await host.isWellLaidOut('2-lobby');
  await ann.isWellLaidOut('2-lobby');

  await host.movesOnTo('question');
  for (const player of [ann, bob, cleo, dan]) await player.sees('question');
  await host.isWellLaidOut('3-question');
  await ann.isWellLaidOut('3-question');
  await ann.page.keyboard.press('2');
  await ann.hasAnswered(1);
  await bob.answers(0);
  await bob.hasAnswered(0);
  await host.reads('answers', '2');
  await ann.isWellLaidOut('4-answered');

  // Bob's page is loaded again after his answer, Cleo's before hers.
  await Promise.all([bob.page.reload(), cleo.page.reload()]);
  await bob.sees('question');
  await bob.hasAnswered(0);
  await cleo.sees('question');
  await cleo.answers(1);
  await cleo.hasAnswered(1);

  const eve = await comes('Eve');
  await eve.joins(host.code);
  await eve.sees('question');

  // Dan answers in a tunnel: shown at once, sent too late, and taken back. A stream that stands fails with what comes next.
  await dan.context.setOffline(true);
  await eve.answers(2);
  await eve.hasAnswered(2);
  await host.reads('answers', '4');
  await dan.page.locator('#stale').waitFor();
  await dan.answers(1);
  await dan.hasAnswered(1, { pending: true });
  await dan.isWellLaidOut('5-offline');
  await host.closesTheQuestion();
  await host.isWellLaidOut('6-result');
  await dan.context.setOffline(false);
  await dan.sees('result');
  await dan.reads('verdict-word', 'No answer');
  await dan.reads('notice', 'Too late');
  await dan.isWellLaidOut('6-too-late');
  await ann.reads('verdict-word', 'Right!');
  await ann.isWellLaidOut('6-right');
  await bob.reads('verdict-word', 'Not this time');
  await bob.isWellLaidOut('6-wrong');
  assert.deepEqual(await host.page.locator('#bars .count').allTextContents(), ['1', '2', '1', '0']);
  assert.equal(await host.page.locator('#bars [data-right] p').textContent(), 'Jupiter');

  await host.movesOnTo('standings');
  await ann.sees('standings');
  await host.isWellLaidOut('7-standings');
  await ann.isWellLaidOut('7-standings');

  // Once all have answered the question closes by itself.
  for (const right of [0, 2]) {
    await host.movesOnTo('question');
    for (const [index, player] of [ann, bob, cleo, dan, eve].entries()) {
      await player.sees('question');
      await player.answers(index === 1 ? 3 : right);
    }
    await host.sees('result');
    if (right === 0) await host.movesOnTo('standings');
  }
  await host.movesOnTo('over');
  for (const player of [ann, bob, cleo, dan, eve]) await player.sees('over');
  await host.isWellLaidOut('8-podium');
  await ann.isWellLaidOut('8-podium');

  const logged = await quiz.scores(host.code);
  assert.deepEqual(await host.podium(), logged, 'the wall shows what the log says');
  for (const player of [ann, bob, cleo, dan, eve]) assert.equal(await player.score(), logged[player.name], player.name);
  assert.ok(logged.Ann > logged.Bob && logged.Bob === 0);
  for (const person of [ann, bob, cleo, dan, eve, host]) await person.leaves();
});

test('the wall shows who is there, and greys who is not', LIMIT, async () => {
  const host = await hosts();
  await host.opens({ questions: 3, seconds: 60 });
  const [ann, bob] = await join(host, 'Ann', 'Bob');
  await host.reads('here-number', '2');
  await ann.page.reload();
  await ann.sees('lobby');
  await bob.leaves();
  await host.showsPlayer('Ann');
  await host.showsPlayer('Bob', { away: true });
  await host.isWellLaidOut('2-away');
  for (const person of [ann, host]) await person.leaves();
});

test('a badge says which transport the page is on, and why', LIMIT, async () => {
  const player = await comes('Ann');
  await player.page.locator('#badge[data-state="live"]').waitFor();
  await player.page.locator('#badge summary').click();
  // It is written once the browser says that it is open, and anew with each move.
  await player.page.waitForFunction(() => {
    const badge = document.getElementById('badge');
    return new RegExp(`^${badge.dataset.transport}, because .+`).test(badge.querySelector('[data-why]').textContent);
  });
  await player.isWellLaidOut('9-badge');
  await player.leaves();
});

test('whoever types nonsense is told what is wrong, where it is wrong', LIMIT, async () => {
  const host = await hosts();
  await host.opens({ questions: 3, seconds: 60 });
  const [ann] = await join(host, 'Ann');
  const other = await comes('ann');
  await other.joins('ZZZZ');
  await other.reads('notice', 'There is no game with this code.');
  assert.equal(await other.page.locator('#code').getAttribute('aria-invalid'), 'true');
  await other.isWellLaidOut('1-refused');
  await other.joins(host.code);
  await other.reads('notice', 'Somebody here has that name.');
  other.name = 'Another';
  await other.joins(host.code);
  await other.sees('lobby');
  for (const person of [ann, other, host]) await person.leaves();
});

test('a player who is asked to leave is told so, and stays out', LIMIT, async () => {
  const host = await hosts();
  await host.opens({ questions: 3, seconds: 60 });
  const [ann, bob] = await join(host, 'Ann', 'Bob');
  await host.page.getByRole('button', { name: 'Remove Bob' }).click();
  await bob.page.locator('body[data-screen="gone"]').waitFor({ state: 'attached' });
  await bob.reads('gone', 'asked you to leave');
  await bob.isWellLaidOut('9-gone');
  await host.page.locator('#people li', { hasText: 'Bob' }).waitFor({ state: 'detached' });
  assert.equal(await host.page.locator('#people li').count(), 1);
  await bob.page.getByRole('button', { name: 'Join another game' }).click();
  await bob.joins(host.code);
  await bob.reads('notice', 'asked you to leave');
  for (const person of [ann, bob, host]) await person.leaves();
});

test('a wall that is loaded again shows the game where it is', LIMIT, async () => {
  const host = await hosts();
  await host.opens({ questions: 3, seconds: 60 });
  const [ann] = await join(host, 'Ann');
  await host.movesOnTo('question');
  await host.page.reload();
  await host.sees('question');
  await ann.answers(1);
  await host.sees('result');
  await host.reads('result-question', 'Which planet');
  for (const person of [ann, host]) await person.leaves();
});
