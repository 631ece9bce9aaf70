/** All that a page has beside its network, in one part, so that none of it is forgotten: a life of its own, and storage. */

import type { Clock } from '../clock.js';
import type { ConnectOptions, VerdictStore } from '../options.js';
import { type Environment, platform } from './environment.js';
import { type Keeper, keeper } from './reload.js';
import { verdictStore } from './verdict.js';

/** What there is for a session with the gateway that is mounted at `base`, where nothing else is handed in. */
export type Page = (
  base: URL,
  clock: Clock,
  options: ConnectOptions,
) => { readonly environment: Environment | undefined; readonly verdicts: VerdictStore | false | undefined; readonly kept: Keeper };

/** This page, for `connect` of `throughline-client/core`. A worker or a process has no use for most of it. */
export const page: Page = (base, clock, { environment = platform(clock), verdicts = verdictStore(base), keep = 'tab', name = 'default' }) => ({
  environment,
  verdicts,
  kept: keeper({ keep, name, base, clock }),
});
