// A game as a page knows it: what a snapshot said, changed by the events after it. Pure, for both pages; `game.rs` has the
// rules, and `view.rs` the members of a snapshot.

/** Before anything is known. */
export const UNKNOWN = { phase: 'loading', step: 0, players: [], question: null, right: null, bars: null, choice: null };

/** What an event does to the game. */
export function apply(game, { name, data }) {
  const step = data?.step ?? game.step;
  switch (name) {
    case 'joined':
      return { ...game, players: [...game.players, { ...data, score: 0, gained: 0, answered: false }] };
    case 'kicked':
      return { ...game, players: game.players.filter(({ player }) => player !== data.player) };
    case 'asked': {
      const players = game.players.map((player) => ({ ...player, gained: 0, answered: false }));
      return { ...game, step, phase: 'question', players, question: data.question, right: null, bars: null, choice: null };
    }
    case 'answered':
      return answered(game, data, {});
    case 'scored':
      return answered(game, data, { gained: data.points, score: data.score });
    case 'closed': {
      const scores = new Map(data.scores.map(([player, gained, score]) => [player, { gained, score }]));
      const players = game.players.map((player) => ({ ...player, gained: 0, ...scores.get(player.player) }));
      return { ...game, step, phase: 'result', players, right: data.right, bars: data.bars };
    }
    case 'standings':
    case 'over':
      return { ...game, step, phase: name };
    case 'ended':
      return { ...game, step, phase: 'ended', reason: data.reason };
    default:
      return game;
  }
}

function answered(game, { player, answers }, gains) {
  const players = game.players.map((one) => (one.player === player ? { ...one, ...gains, answered: true } : one));
  return { ...game, players, question: game.question && { ...game.question, answers } };
}

/** The players, best first; who has as much has the same rank. `before` leaves out what the last question brought. */
export function ranking(players, before = false) {
  const score = (player) => player.score - (before ? player.gained : 0);
  const sorted = [...players].sort((a, b) => score(b) - score(a) || a.player - b.player);
  let rank = 0;
  return sorted.map((player, index) => {
    if (index === 0 || score(player) !== score(sorted[index - 1])) rank = index + 1;
    return { ...player, rank, shown: score(player) };
  });
}

/** The server's time, from what it stamped: nothing comes before it was sent, so the least difference is the best guess. */
export class ServerClock {
  #differences = [];

  /** Something came just now that the server has stamped so. */
  heard(time) {
    this.#differences = [...this.#differences.slice(-19), Date.now() - time];
  }

  /** Milliseconds since the Unix epoch, by the server's clock. */
  now() {
    return Date.now() - (this.#differences.length ? Math.min(...this.#differences) : 0);
  }
}

/** What is wrong, for a person. */
export function words(error) {
  return (
    {
      game_unknown: 'There is no game with this code.',
      game_ended: 'This game has ended.',
      game_full: 'This game is full.',
      name_invalid: 'A name has 1 to 20 visible characters.',
      name_taken: 'Somebody here has that name. Try another one.',
      kicked: 'The host has asked you to leave this game.',
      too_late: 'Too late: the question is closed.',
      already_answered: 'Your first answer counts.',
      not_now: 'The game has moved on.',
      nobody_plays: 'Nobody has joined yet.',
      too_many_games: 'There are too many games at the moment. Try again soon.',
      busy: 'There is a lot going on. Try again.',
      outcome_unknown: 'The connection was lost for long. Try again.',
    }[error?.code] ?? 'That did not work. Try again.'
  );
}
