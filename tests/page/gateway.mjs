// A gateway for the tests of the page: `throughline serve` on ports of its own, from when it listens until it is stopped.
//
// `THROUGHLINE` names the executable. `PAGE`, if set, is the address of a gateway that runs already and is left running.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { told } from './browser.mjs';

/** Starts a gateway; `page` is the address of its page, `stop()` ends it. */
export async function gateway() {
  if (process.env.PAGE) return { page: process.env.PAGE, stop: async () => {} };
  const serve = spawn(told('THROUGHLINE'), SERVE, { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async () => {
    if (serve.exitCode !== null || serve.signalCode !== null) return;
    serve.kill('SIGTERM');
    await once(serve, 'exit');
  };
  const ended = once(serve, 'exit').then(([code]) => {
    throw new Error(`the gateway ended with ${code} before it said where it listens`);
  });
  try {
    return { page: await Promise.race([address(serve.stdout), ended]), stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    ended.catch(() => {}); // later it ends because it is told to
  }
}

/** The first address that the gateway says it listens on; what it prints after that is passed on. */
async function address(output) {
  const lines = createInterface({ input: output });
  return new Promise((found, failed) => {
    lines.on('line', (line) => {
      console.log(`# ${line}`);
      const [url] = /http:\/\/[^\s,)]+/.exec(line) ?? [];
      if (url) found(url.endsWith('/') ? url : `${url}/`);
    });
    lines.on('close', () => failed(new Error('the gateway did not say where it listens')));
  });
}

const SERVE = ['serve', '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--log', 'warn'];
