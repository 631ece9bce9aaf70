/**
 * Puts a session together of what is handed in, and of what the page before has left. Nothing is taken by default here that
 * weighs: whoever names their transports, their codec and their page loads no others.
 */

import { nowhere } from './browser/page.js';
import { systemClock } from './clock.js';
import { newCore } from './core/core.js';
import { defaultTiming } from './core/timing.js';
import { shielded } from './listeners.js';
import { OpenSession } from './open-session.js';
import type { OpenOptions } from './options.js';
import { must } from './payload.js';
import type { Session } from './session.js';
import type { Transport } from './transports/transport.js';

/** As the gateway is told. */
export const CLIENT = { name: 'throughline-client', version: '0.1.0' };

/**
 * Opens a session with the gateway that is mounted at `url`, which in a page may be relative to it. Returns at once;
 * nothing happens before the current task is over, so that what is subscribed now travels in the first message.
 *
 * Throws a `TypeError` where `url` or the options cannot be used.
 */
export function open(url: string | URL, options: OpenOptions): Session {
  const base = baseOf(url);
  const { transports: listed, codec, page = nowhere, auth, signal, negotiate: negotiates = true, client = CLIENT, commands = 1_024 } = options;
  const { clock = systemClock, random = Math.random } = options;
  const areMade = listed.length > 0 && listed.every(({ open }: Partial<Transport>) => open);
  must(areMade, 'transports are one or more that are called, as polling()', listed);
  // One that is listed twice would be the better of itself, and probed for ever.
  const names = new Set<string>();
  const transports = listed.filter(({ name }) => !names.has(name) && names.add(name));
  const timing = { ...defaultTiming, ...options.timing };
  const { kept, verdicts, attend } = page(base, clock);

  const session = new OpenSession({
    surroundings: { base, codec, clock, connectMs: timing.connectMs },
    transports,
    random,
    auth,
    kept,
    remember: (verdict) => shielded(() => verdicts?.save(verdict)),
    ended: () => {
      signal?.removeEventListener('abort', close);
      stop();
      kept.end();
    },
  });
  const close = (): void => void session.close();
  if (signal?.aborted) close();
  signal?.addEventListener('abort', close);
  const stop = attend(session.driver);

  void kept.take().then((saved) => {
    const core = newCore({
      transports: transports.map((transport) => ({ name: transport.name, isDuplex: transport.isDuplex, missing: transport.missing() })),
      negotiates,
      isSecure: base.protocol === 'https:',
      client,
      timing,
      verdict: shielded(() => verdicts?.load()),
      saved,
      needsAuth: !!auth,
      commands,
      random,
      nowMs: clock.now(),
      wall: () => clock.wall(),
    });
    session.start(core, saved);
  });
  return session;
}

/** Where the gateway is mounted: ends with `/`, and has nothing behind its path. */
function baseOf(url: string | URL): URL {
  const { location } = globalThis as { readonly location?: Location };
  let base: URL | undefined;
  try {
    base = new URL(url, location?.href);
  } catch {
    // It is said below what it should have been.
  }
  const rule = 'url is http or https, and outside a page a whole address';
  must(!!base && /^https?:$/.test(base.protocol), rule, url);
  base.search = base.hash = '';
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  return base;
}
