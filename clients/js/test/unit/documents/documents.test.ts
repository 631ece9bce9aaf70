/** What people copy compiles: the blocks of the guide and of the README, and the hook for React. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

import * as core from '../../../src/core.js';
import * as client from '../../../src/index.js';
import * as testing from '../../../src/testing.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const GUIDE = `${root}../../docs/clients/js.md`;

const blocksOf = (path: string): string[] => [...readFileSync(path, 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block]) => block ?? '');

/** Compiles files against the sources, as an application would against the package. Returns what is wrong. */
function compile(files: readonly string[], options: ts.CompilerOptions = {}): string[] {
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: ['node'],
    typeRoots: [`${root}node_modules/@types`],
    paths: {
      'throughline-client': [`${root}src/index.ts`],
      'throughline-client/*': [`${root}src/*.ts`],
      react: [`${root}node_modules/@types/react`],
    },
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    noEmit: true,
    ...options,
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1} ` : '';
    return line + ts.flattenDiagnosticMessageText(messageText, '\n');
  });
}

test('the blocks of the guide and of the README compile', () => {
  const blocks = [...blocksOf(GUIDE), ...blocksOf(`${root}README.md`)];
  assert.ok(blocks.length >= 10, 'they were found');
  const folder = mkdtempSync(`${root}test/unit/documents/blocks-`);
  try {
    const files = blocks.map((block, index) => {
      const path = `${folder}/block${index}.ts`;
      writeFileSync(path, `${block}\nexport {};\n`);
      return path;
    });
    assert.deepEqual(compile(files), []);
    // A test of the test: a block that is wrong is found.
    const wrong = `${folder}/wrong.ts`;
    writeFileSync(wrong, "import { connect } from 'throughline-client';\nconnect('/').subscribe(1);\n");
    assert.equal(compile([wrong]).length, 1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the hook for React compiles, and is as short as it says', () => {
  const path = `${root}../../examples/react/useChannel.ts`;
  assert.deepEqual(compile([path], { jsx: ts.JsxEmit.ReactJSX }), []);
  assert.ok(readFileSync(path, 'utf8').split('\n').length <= 70);
});

test('the reference names every export', () => {
  const reference = readFileSync(GUIDE, 'utf8');
  const names = [...Object.keys(client), ...Object.keys(core), ...Object.keys(testing), 'optimistic', 'bincode', 'webTransport'];
  assert.deepEqual(
    names.filter((name) => !reference.includes(`\`${name}`) && !reference.includes(`${name}(`)),
    [],
  );
});
