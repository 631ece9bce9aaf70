/**
 * Whatever happens to its links, and to its page, an application hears each event once and in order, has each command
 * carried out once at most, and is told what became of it. A failure names the seed that repeats it.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CHANNELS, World } from './world.js';

const SCHEDULES = 200;
const STEPS = 120;

/** One thing that happens. */
function happen(world: World, reloads: boolean): void {
  const what = world.upTo(99);
  if (what < 35) world.model.publish(CHANNELS[world.upTo(1)] ?? 'a');
  else if (what < 55) world.send();
  else if (what < 62) world.cut();
  else if (what < 65) world.swallow();
  else if (what < 69) world.migrate();
  else if (what < 71) world.core.handleNetworkChanged(world.now);
  else if (what < 74) world.core.handleHidden(world.now, world.chance(0.5));
  else if (what < 75) world.core.handleOffline(world.now);
  else if (what < 76) world.core.handleFrozen(world.now);
  else if (what < 77) world.model.restart();
  else if (what < 79 && reloads) world.load();
  else if (what < 80) world.sleep(world.upTo(100_000));
  world.turn();
  world.pass(world.chance(0.1) ? world.upTo(20_000) : world.upTo(300));
}

function play(seed: number, reloads: boolean): World {
  const world = new World(seed);
  for (let step = 0; step < STEPS; step++) happen(world, reloads);
  world.heal();
  world.core.handleHidden(world.now, false);
  world.core.handleNetworkChanged(world.now);
  for (const channel of CHANNELS) world.model.publish(channel);
  world.send();
  world.pass(180_000);

  for (const channel of CHANNELS) {
    const published = world.model.logs.get(channel)?.length ?? 0;
    assert.deepEqual(
      world.heard.get(channel),
      Array.from({ length: published }, (_, index) => index + 1),
      `each event of ${channel} once, in order`,
    );
  }
  for (let n = 1; n <= world.sends; n++) {
    const said = `send ${n}`;
    const times = world.model.executed.get(said) ?? 0;
    const outcomes = world.outcomes.get(said) ?? [];
    assert.ok(times <= 1, `${said} was carried out ${times} times`);
    assert.equal(outcomes.length, 1, `${said} is ${outcomes.join(' and ') || 'not settled'}`);
    if (outcomes[0] !== 'unknown') assert.equal(times, outcomes[0] === 'accepted' ? 1 : 0, said);
  }
  const session = [...world.model.sessions.values()].find(({ name }) => name === world.core.session);
  assert.equal(session?.channels.get('a')?.presence, true, 'it takes part where it asked to');
  assert.ok(!session.channels.get('b')?.presence);
  assert.equal(world.core.state.name, 'live');
  return world;
}

for (const [name, reloads] of [
  ['one page', false],
  ['pages that are loaded again', true],
] as const) {
  test(`whatever happens, ${name}: nothing is lost, nothing comes twice, nothing is out of order`, () => {
    let accepted = 0;
    for (let seed = 1; seed <= SCHEDULES / 2; seed++) {
      try {
        const world = play(seed, reloads);
        accepted += [...world.outcomes.values()].filter(([outcome]) => outcome === 'accepted').length;
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      }
    }
    assert.ok(accepted > SCHEDULES, 'most of what is said is carried out');
  });
}
