/** All that a page has beside its network, as one part, so that none of it is forgotten: a life of its own, and storage. */

import type { Clock } from '../clock.js';
import type { Driver } from '../driver.js';
import type { PageOptions, VerdictStore } from '../options.js';
import { attend, platform } from './environment.js';
import { forgetful, type Keeper, keeper } from './reload.js';
import { verdictStore } from './verdict.js';

/** What a page does for its session with the gateway that is mounted at `base`. */
export type Page = (base: URL, clock: Clock) => Care;

/** What it does. */
interface Care {
  readonly kept: Keeper;
  readonly verdicts: VerdictStore | undefined;
  /** Tells the session what happens to the page, until it is stopped. */
  attend(driver: Driver): () => void;
}

/** This page, for `connect` of `throughline-client/core`. A worker or a process has no use for most of it. */
export const page = (options: PageOptions = {}): Page => (base, clock) => {
  const { environment = platform(clock), verdicts = verdictStore(base), keep = 'tab', name = 'default' } = options;
  const kept = keeper({ keep, name, base, clock });
  return { kept, verdicts: verdicts || undefined, attend: (driver) => attend(environment, base, kept, driver) };
};

/** No page. */
export const nowhere: Page = () => ({ kept: forgetful('not kept: no page is handed in'), verdicts: undefined, attend: () => () => {} });
