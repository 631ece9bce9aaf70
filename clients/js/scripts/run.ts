/**
 * Runs the tests below `test/<folder>` by node's own runner: `tsx scripts/run.ts unit`. Node 20 knows no patterns of files,
 * so they are found here; a folder without tests is a failure. What follows the folder's name goes to node, for instance
 * `--test-name-pattern`.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [folder, ...options] = process.argv.slice(2);
if (folder === undefined) throw new Error('which folder of tests?');
const root = fileURLToPath(new URL('..', import.meta.url));
const files = readdirSync(join(root, 'test', folder), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .sort()
  .map((path) => join('test', folder, path));
if (files.length === 0) throw new Error(`no test in test/${folder}`);

const node = ['--import', 'tsx', '--test', '--test-reporter=spec', ...options, ...files];
process.exitCode = spawnSync(process.execPath, node, { cwd: root, stdio: 'inherit' }).status ?? 1;
