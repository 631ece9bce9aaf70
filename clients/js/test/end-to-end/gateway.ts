/**
 * A real gateway for tests: `throughline serve` on ports of its own, from when it listens until it is stopped.
 *
 * `THROUGHLINE` names the executable; without it cargo builds one.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Gateway {
  /** Where clients call it. */
  readonly url: URL;
  /** Where its admin API is. */
  readonly admin: URL;
  /** Publishes to a channel. */
  publish(channel: string, data: unknown): Promise<void>;
  stop(): Promise<void>;
}

export interface Settings {
  /** As `--set` takes them. */
  readonly set?: Readonly<Record<string, string | number>>;
  /** Where another was, to come back there. */
  readonly listen?: string;
}

/** Starts a gateway with settings of its own. */
export async function gateway({ set = {}, listen = '127.0.0.1:0' }: Settings = {}): Promise<Gateway> {
  const settings = Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const command = ['serve', '--listen', listen, '--admin-listen', '127.0.0.1:0', '--log', 'error', ...settings];
  const serve = spawn(executable(), command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const found = new Map<string, URL>();
  const lines = createInterface({ input: serve.stdout });
  await new Promise<void>((complete, reject) => {
    lines.on('line', (line) => {
      const [, listener, url] = /^(clients|admin)\s+(http:\/\/\S+)/.exec(line) ?? [];
      if (listener !== undefined && url !== undefined) found.set(listener, new URL(url));
      if (found.size === 2) complete();
    });
    serve.once('error', reject);
    lines.once('close', () => reject(new Error('the gateway did not say where it listens')));
  });
  const [url, admin] = ['clients', 'admin'].map((listener) => found.get(listener));
  if (!url || !admin) throw new Error('a gateway listens twice');
  return {
    url,
    admin,
    async publish(channel, data) {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ channel, data });
      const answer = await fetch(new URL('api/v1/publish', admin), { method: 'POST', headers, body });
      if (!answer.ok) throw new Error(await answer.text());
    },
    async stop() {
      if (serve.exitCode !== null || serve.signalCode !== null) return;
      serve.kill('SIGTERM');
      await once(serve, 'exit');
    },
  };
}

function executable(): string {
  if (process.env.THROUGHLINE !== undefined) return process.env.THROUGHLINE;
  const root = fileURLToPath(new URL('../../../..', import.meta.url));
  const build = ['build', '--features', 'cli', '--bin', 'throughline'];
  const { status } = spawnSync('cargo', build, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error('no gateway could be built');
  return resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'debug', 'throughline');
}
