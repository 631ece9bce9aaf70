// A network of a test's own: a namespace with nothing in it but loopback, whose UDP can be dropped on the way.
//
// It takes root, `ip` and `nft`. The namespace is held open by a process that ends with the test, whatever happens to it.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why no network can be made here; null where it can. */
export function whyNone() {
  if (process.getuid() !== 0) return 'it takes root to make a network namespace';
  for (const [program, version] of [['unshare', '--version'], ['nsenter', '--version'], ['ip', '-V'], ['nft', '--version']]) {
    try {
      execFileSync(program, [version], { stdio: 'ignore' });
    } catch {
      return `there is no \`${program}\``;
    }
  }
  return null;
}

/** Makes a network; `close()` ends it. */
export async function network() {
  const holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  holder.stdin.write('\n');
  await once(holder.stdout, 'data'); // `cat` runs, so the namespace is there
  const folder = mkdtempSync(join(tmpdir(), 'throughline-page-'));
  return new Network(holder, folder);
}

class Network {
  constructor(holder, folder) {
    this.holder = holder;
    this.folder = folder;
    this.enter = ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--'];
    this.run('ip', 'link', 'set', 'lo', 'up');
    this.run('nft', 'add table inet faults');
    this.run('nft', 'add chain inet faults input { type filter hook input priority 0; }');
  }

  /** Runs a program in it to its end, and returns what it wrote. */
  run(...command) {
    const [program, ...rest] = [...this.enter, ...command];
    return execFileSync(program, rest, { encoding: 'utf8' });
  }

  /** A program that runs another one in it, for whoever wants the path of an executable. */
  wrapper(program) {
    const path = join(this.folder, 'in-network');
    writeFileSync(path, `#!/bin/sh\nexec ${this.enter.join(' ')} '${program}' "$@"\n`, { mode: 0o755 });
    return path;
  }

  /** Drops every datagram to and from a port, without a word to anybody. */
  blockUdp(port) {
    this.run('nft', `add rule inet faults input udp dport ${port} counter drop`);
    this.run('nft', `add rule inet faults input udp sport ${port} counter drop`);
  }

  /** Lets them pass again, and returns how many were dropped. */
  healUdp() {
    const dropped = this.run('nft', 'list chain inet faults input').matchAll(/packets (\d+)/g);
    this.run('nft', 'flush chain inet faults input');
    return [...dropped].reduce((sum, [, packets]) => sum + Number(packets), 0);
  }

  async close() {
    const gone = once(this.holder, 'exit');
    this.holder.stdin.end();
    await gone;
    rmSync(this.folder, { recursive: true });
  }
}
