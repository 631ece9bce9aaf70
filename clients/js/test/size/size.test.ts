/**
 * The budgets: what the package may weigh in a page, minified and gzipped, and that a page loads only what it uses.
 *
 * What it weighs is more than was aimed at (docs/decisions/0026): the budgets stand close above it, and only go down.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { bundle } from './bundle.js';

const CORE_BYTES = 27_840; // sessions over polling, event streams and WebSocket, in JSON
const CORE_AIM_BYTES = 12_288;
const ALL_BYTES = 31_456; // every entry but `/testing`, which no page loads
const ALL_AIM_BYTES = 18_432;

const CORE = `
  import { connect } from 'throughline-client';
  connect('/').subscribe('news').on('event', console.log);
`;
const entries = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { exports: Record<string, unknown> }
).exports;
const besideCore = Object.keys(entries).map((entry) => entry.slice(2)).filter((entry) => entry !== '' && entry !== 'testing');

/** A page that uses all that an entry exports. */
const allOf = (entry: string) => `export * from 'throughline-client/${entry}';\n`;

test(`the core entry has at most ${String(CORE_BYTES)} bytes`, async () => {
  const { gzippedBytes, byFile } = await bundle(CORE);
  console.log(`core: ${String(gzippedBytes)} bytes gzipped of ${String(CORE_BYTES)}; the aim is ${String(CORE_AIM_BYTES)}. Minified, by file:`);
  for (const [path, bytes] of byFile) console.log(`  ${String(bytes).padStart(6)}  ${path}`);
  assert.ok(gzippedBytes <= CORE_BYTES, `${String(gzippedBytes)} > ${String(CORE_BYTES)}`);
});

test(`all entries together have at most ${String(ALL_BYTES)} bytes`, async () => {
  const core = await bundle(CORE);
  for (const entry of besideCore) {
    const { gzippedBytes } = await bundle(CORE + allOf(entry));
    console.log(`  ${String(gzippedBytes - core.gzippedBytes).padStart(6)}  more with /${entry}`);
  }
  const { gzippedBytes } = await bundle(`export * from 'throughline-client';\n${besideCore.map(allOf).join('')}`);
  console.log(`all: ${String(gzippedBytes)} bytes gzipped of ${String(ALL_BYTES)}; the aim is ${String(ALL_AIM_BYTES)}`);
  assert.ok(gzippedBytes <= ALL_BYTES, `${String(gzippedBytes)} > ${String(ALL_BYTES)}`);
});

test('a page that uses one transport loads no other, and no session', async () => {
  const { byFile } = await bundle("import { polling } from 'throughline-client';\nconsole.log(polling());");
  assert.ok(byFile.has('transports/polling.js'), 'it loads what it uses');
  for (const path of ['transports/websocket.js', 'transports/sse.js', 'session.js', 'core/core.js']) {
    assert.ok(!byFile.has(path), `it does not load ${path}`);
  }
});

test('a page that uses no binary codec, WebTransport, optimistic view or fake gateway loads none', async () => {
  const { byFile } = await bundle(CORE);
  assert.ok(byFile.has('transports/websocket.js'), 'it loads what is used by default');
  for (const entry of [...besideCore, 'testing']) {
    for (const path of byFile.keys()) assert.ok(!path.split('/').at(-1)?.startsWith(entry), `it does not load ${path}`);
  }
});

test('a page that imports and uses nothing loads nothing', async () => {
  for (const entry of Object.keys(entries)) {
    const { byFile } = await bundle(`import * as client from 'throughline-client${entry.slice(1)}';`);
    assert.deepEqual([...byFile.keys()], [], entry);
  }
});
