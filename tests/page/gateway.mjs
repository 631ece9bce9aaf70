// A gateway for the tests of the page: `throughline serve` on ports of its own, from when it listens until it is stopped.
//
// `THROUGHLINE` names the executable.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { told } from './browser.mjs';

/**
 * Starts a gateway; `page` is the address of its page, `admin` that of its admin API, `stop()` ends it. `set` are
 * settings of its own, `enter` a command that runs another one elsewhere.
 */
export async function gateway({ set = {}, enter = [] } = {}) {
  const settings = Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const [program, ...command] = [...enter, told('THROUGHLINE'), ...SERVE, ...settings];
  const serve = spawn(program, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = async () => {
    if (serve.exitCode !== null || serve.signalCode !== null) return;
    serve.kill('SIGTERM');
    await once(serve, 'exit');
  };
  const ended = once(serve, 'exit').then(([code]) => {
    throw new Error(`the gateway ended with ${code} before it said where it listens`);
  });
  try {
    return { ...(await Promise.race([addresses(serve.stdout), ended])), stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    ended.catch(() => {}); // later it ends because it is told to
  }
}

/** The addresses that the gateway says it listens on; what it prints after that is passed on. */
async function addresses(output) {
  const lines = createInterface({ input: output });
  const found = {};
  return new Promise((complete, failed) => {
    lines.on('line', (line) => {
      console.log(`# ${line}`);
      const [, listener, url] = /^(clients|admin)\s+(http:\/\/\S+)/.exec(line) ?? [];
      if (listener) found[listener === 'clients' ? 'page' : 'admin'] = url;
      if (found.page && found.admin) complete(found);
    });
    lines.on('close', () => failed(new Error('the gateway did not say where it listens')));
  });
}

const SERVE = ['serve', '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0', '--log', 'warn'];
