// A headless Chromium for the tests of the page.
//
// `PLAYWRIGHT` names the node_modules that holds playwright-core, `CHROMIUM` the browser; `cargo xtask test` sets both.
// The browser talks to nobody but the page: no updates, no sync, a profile that is thrown away.

import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Starts a browser; `close()` ends it. `wrapped` may put another executable in front of the browser's; `keepsPages` leaves it
 * the page cache, which playwright turns off; `args` are more arguments.
 */
export async function browser({ wrapped = (executable) => executable, keepsPages = false, args = [] } = {}) {
  const modules = told('PLAYWRIGHT');
  const { chromium } = createRequire(join(modules, 'page.js'))('playwright-core');
  return chromium.launch({
    executablePath: wrapped(told('CHROMIUM')),
    ignoreDefaultArgs: keepsPages ? ['--disable-back-forward-cache'] : [],
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...args,
    ],
  });
}

/** What the environment must name. */
export function told(variable) {
  const value = process.env[variable];
  if (!value) throw new Error(`${variable} is not set: run this by \`cargo xtask test\``);
  return value;
}
