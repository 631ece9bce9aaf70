// What both pages of the quiz think with, without a page: events change a game, players are ranked, time is the server's.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

// A browser takes it for a module by its media type; here its address has to say so.
const source = await readFile(new URL('../../examples/quiz/pages/game.js', import.meta.url), 'utf8');
const { ServerClock, UNKNOWN, apply, ranking, words } = await import(`data:text/javascript,${encodeURIComponent(source)}`);

const question = { index: 0, of: 2, text: '?', choices: ['a', 'b'], opened: 0, deadline: 9, answers: 0 };
const JOINED = [
  { name: 'joined', data: { player: 1, name: 'Ann', user: 'player:a' } },
  { name: 'joined', data: { player: 2, name: 'Bob', user: 'player:b' } },
];
const fold = (...events) => events.reduce(apply, UNKNOWN);

test('a player and the host come to the same scores, each by the events that they hear', () => {
  const asked = { name: 'asked', data: { step: 1, question } };
  const closed = { name: 'closed', data: { step: 2, right: 1, bars: [1, 1], scores: [[1, 900, 900]] } };
  const heard = fold(...JOINED, asked, { name: 'answered', data: { player: 1, answers: 1 } }, { name: 'answered', data: { player: 2, answers: 2 } }, closed);
  const seen = fold(
    ...JOINED,
    asked,
    { name: 'scored', data: { player: 1, answers: 1, choice: 1, points: 900, score: 900 } },
    { name: 'scored', data: { player: 2, answers: 2, choice: 0, points: 0, score: 0 } },
    closed,
  );
  assert.deepEqual(heard, seen);
  assert.deepEqual(heard.players.map(({ score, gained, answered }) => [score, gained, answered]), [[900, 900, true], [0, 0, true]]);
  assert.equal(heard.phase, 'result');
});

test('a question that is asked forgets what the one before it brought', () => {
  const before = fold(...JOINED, { name: 'asked', data: { step: 1, question } }, { name: 'closed', data: { step: 2, right: 1, bars: [0, 1], scores: [[1, 900, 900]] } });
  const { players, right, bars } = apply(before, { name: 'asked', data: { step: 4, question: { ...question, index: 1 } } });
  assert.deepEqual([players[0].score, players[0].gained, right, bars], [900, 0, null, null]);
});

test('an event leaves the game before it alone, and one of an unknown name changes nothing', () => {
  const game = Object.freeze(fold(...JOINED));
  assert.notEqual(apply(game, { name: 'standings', data: { step: 3 } }), game);
  assert.equal(apply(game, { name: 'of a later version', data: {} }), game);
});

test('whoever left is not in the game any more', () => {
  assert.deepEqual(apply(fold(...JOINED), { name: 'kicked', data: { player: 1, step: 0 } }).players.map(({ name }) => name), ['Bob']);
});

test('who has as much has the same rank, and the next one counts those before', () => {
  const players = [[1, 500, 500], [2, 900, 0], [3, 500, 0], [4, 0, 0]].map(([player, score, gained]) => ({ player, score, gained }));
  assert.deepEqual(ranking(players).map(({ player, rank }) => [player, rank]), [[2, 1], [1, 2], [3, 2], [4, 4]]);
  assert.deepEqual(ranking(players, true).map(({ player, rank, shown }) => [player, rank, shown]), [[2, 1, 900], [3, 2, 500], [1, 3, 0], [4, 3, 0]]);
});

test('the server’s time is told by what came quickest', (t) => {
  t.mock.method(Date, 'now', () => 1_000_000);
  const clock = new ServerClock();
  clock.heard(500_000 - 80); // 80 ms on the way
  clock.heard(500_000 - 5);
  clock.heard(400_000); // an old one that is told again
  assert.equal(clock.now(), 500_000 - 5);
});

test('every refusal of the quiz has words of its own', async () => {
  const rust = await readFile(new URL('../../examples/quiz/refusal.rs', import.meta.url), 'utf8');
  const codes = [...rust.matchAll(/=> "([a-z_]+)"/g)].map(([, code]) => code);
  assert.ok(codes.length > 10);
  const unsaid = codes.filter((code) => words({ code }) === words(undefined));
  // What no page of ours can bring about.
  assert.deepEqual(unsaid, ['malformed', 'forbidden', 'player_unknown', 'not_joined', 'choice_unknown']);
});
