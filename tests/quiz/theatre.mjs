// The quiz for its tests in a browser: the example as a program, on a port of its own, and what its log says in the end.
//
// `QUIZ` names the executable; `CHROMIUM` and `PLAYWRIGHT` are as for tests/page. Pictures of each stage go below
// `QUIZ_SCREENSHOTS`, if that is set.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { told } from '../page/browser.mjs';

/** Starts the quiz: `host` and `players` are addresses, `scores(code)` what the log says, `stop()` ends it. */
export async function theatre() {
  const folder = await mkdtemp(join(tmpdir(), 'quiz-'));
  const log = join(folder, 'log');
  const quiz = spawn(told('QUIZ'), ['--listen', '127.0.0.1:0', '--log', log], { stdio: ['ignore', 'pipe', 'inherit'] });
  const addresses = {};
  for await (const line of createInterface({ input: quiz.stdout })) {
    const [, who, address] = /^(host|players)\s+(http:\S+)/.exec(line) ?? [];
    if (who) addresses[who] = address;
    if (addresses.host && addresses.players) break;
  }
  const stop = async () => {
    quiz.kill('SIGINT');
    if (quiz.exitCode === null) await once(quiz, 'exit');
    await rm(folder, { recursive: true });
  };
  return { ...addresses, scores: async (code) => scores(await readFile(log, 'utf8'), code), stop };
}

/** The points of each player by name, added up from the answers that the log has of a game. */
function scores(log, code) {
  const names = new Map();
  const sums = new Map();
  for (const line of log.split('\n').filter(Boolean)) {
    const { entry, game, player, name, points } = JSON.parse(line);
    if (game !== code) continue;
    if (entry === 'joined') names.set(player, name);
    if (entry === 'answered') sums.set(player, (sums.get(player) ?? 0) + points);
  }
  return Object.fromEntries([...names].map(([player, name]) => [name, sums.get(player) ?? 0]));
}
