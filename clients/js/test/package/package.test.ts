/** What is published: exactly the files it should have, and that a project which installs them can use every entry. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const folder = mkdtempSync(join(tmpdir(), 'throughline-package-'));
after(() => rmSync(folder, { recursive: true }));

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** `npm pack`: what it would hold, or what it wrote. Some versions of npm answer with a list, others by name. */
function pack(...options: string[]): Packed {
  const printed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', ...options], { cwd: root, encoding: 'utf8' });
  const [packed] = Object.values(JSON.parse(printed) as Record<string, Packed>);
  assert.ok(packed);
  return packed;
}

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));

test('the package holds what is built of its sources, what it says of itself, and nothing else', () => {
  const built = sources.flatMap((path) => ['.js', '.d.ts'].map((end) => `dist/${path.replaceAll('\\', '/').replace(/\.ts$/, end)}`));
  const expected = [...built, 'LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json'];
  const { files } = pack('--dry-run');
  assert.deepEqual(files.map(({ path }) => path).sort(), expected.sort());
});

test('the licences are those of the repository', () => {
  for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) {
    assert.equal(readFileSync(join(root, licence), 'utf8'), readFileSync(join(root, '../..', licence), 'utf8'), licence);
  }
});

test('a project that installs it can use every entry', async (context) => {
  const { filename } = pack('--pack-destination', folder);
  const project = join(folder, 'project');
  cpSync(join(root, 'test/package/consumer'), project, { recursive: true });
  writeFileSync(join(project, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }\n');
  const install = ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', join(folder, filename)];
  execFileSync('npm', install, { cwd: project, stdio: 'pipe' });

  for (const resolution of [['--module', 'node16'], ['--module', 'esnext', '--moduleResolution', 'bundler']]) {
    await context.test(`its types are found under ${resolution.at(-1) ?? ''}, and say what they should`, () => {
      compile(project, ...resolution, '--noEmit');
    });
  }
  await context.test('it runs', () => {
    compile(project, '--module', 'node16');
    const printed = execFileSync(process.execPath, ['sample.js'], { cwd: project, encoding: 'utf8' });
    assert.equal(printed, readFileSync(join(project, 'expected.txt'), 'utf8'));
  });
});

/** Compiles the project; our declarations are checked too, with no more than a page's own types around them. */
function compile(project: string, ...options: string[]): void {
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--target', 'es2022'];
  const surroundings = ['--lib', 'es2022,dom,dom.iterable', '--skipLibCheck', 'false'];
  try {
    execFileSync(process.execPath, [tsc, ...strict, ...surroundings, ...options, 'sample.ts'], { cwd: project, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    assert.fail((error as { stdout: string }).stdout);
  }
}
