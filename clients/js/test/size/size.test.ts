/**
 * The budgets: what the package may weigh in a page, minified and gzipped, and that a page loads only what it uses.
 *
 * What it weighs is more than was aimed at (docs/decisions/0026): the budgets stand close above it, and only go down.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { bundle } from './bundle.js';

const CORE_BYTES = 26_672; // sessions over polling, event streams and WebSocket, in JSON
const CORE_AIM_BYTES = 12_288;
const MAIN_BYTES = 28_640; // the same, and all that a page has
const ALL_BYTES = 32_256; // every entry but `/testing`, which no page loads
const ALL_AIM_BYTES = 18_432;

const CORE = `
  import { json, polling, sse, webSocket } from 'throughline-client';
  import { connect } from 'throughline-client/core';
  connect('/', { transports: [webSocket(), sse(), polling()], codec: json() }).subscribe('news').on('event', console.log);
`;
const MAIN = `
  import { connect } from 'throughline-client';
  connect('/').subscribe('news').on('event', console.log);
`;
const entries = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { exports: Record<string, unknown> }
).exports;
/** What a page may load beside either of the two that have a `connect`. */
const besides = Object.keys(entries)
  .map((entry) => entry.slice(2))
  .filter((entry) => !['', 'core', 'testing'].includes(entry));

/** A page that uses all that an entry exports. */
const allOf = (entry: string) => `export * from 'throughline-client/${entry}';\n`;

async function fits(what: string, page: string, most: number, aim = ''): Promise<ReadonlyMap<string, number>> {
  const { gzippedBytes, byFile } = await bundle(page);
  console.log(`${what}: ${String(gzippedBytes)} bytes gzipped of ${String(most)}${aim}`);
  assert.ok(gzippedBytes <= most, `${String(gzippedBytes)} > ${String(most)}`);
  return byFile;
}

test(`the core entry has at most ${String(CORE_BYTES)} bytes, and what a page has is loaded where it is handed in`, async () => {
  const byFile = await fits('core', CORE, CORE_BYTES, `; the aim is ${String(CORE_AIM_BYTES)}`);
  for (const path of ['environment', 'record', 'verdict']) assert.ok(!byFile.has(`browser/${path}.js`), path);
});

test(`the main entry has at most ${String(MAIN_BYTES)} bytes`, async () => {
  console.log('Minified, by file:');
  const byFile = await fits('main', MAIN, MAIN_BYTES);
  for (const [path, bytes] of byFile) console.log(`  ${String(bytes).padStart(6)}  ${path}`);
});

test(`all entries together have at most ${String(ALL_BYTES)} bytes`, async () => {
  const main = await bundle(MAIN);
  for (const entry of besides) {
    const { gzippedBytes } = await bundle(MAIN + allOf(entry));
    console.log(`  ${String(gzippedBytes - main.gzippedBytes).padStart(6)}  more with /${entry}`);
  }
  await fits('all', `export * from 'throughline-client';\n${besides.map(allOf).join('')}`, ALL_BYTES, `; the aim is ${String(ALL_AIM_BYTES)}`);
});

test('a page that uses one transport loads no other, and no session', async () => {
  const { byFile } = await bundle("import { polling } from 'throughline-client';\nconsole.log(polling());");
  assert.ok(byFile.has('transports/polling.js'), 'it loads what it uses');
  for (const path of ['transports/websocket.js', 'transports/sse.js', 'session.js', 'core/core.js']) {
    assert.ok(!byFile.has(path), `it does not load ${path}`);
  }
});

test('a session of the core entry loads the transports and the codec that it is given, and no others', async () => {
  const { byFile } = await bundle(`
    import { webSocket } from 'throughline-client';
    import { bincode } from 'throughline-client/bincode';
    import { connect } from 'throughline-client/core';
    connect('/', { transports: [webSocket()], codec: bincode() });
  `);
  for (const path of ['transports/websocket.js', 'codec/bincode.js']) assert.ok(byFile.has(path), `it loads ${path}`);
  for (const path of ['transports/polling.js', 'transports/sse.js', 'transports/http.js']) assert.ok(!byFile.has(path), `it does not load ${path}`);
});

test('a page that uses no binary codec, WebTransport, optimistic view or fake gateway loads none', async () => {
  const { byFile } = await bundle(MAIN);
  assert.ok(byFile.has('transports/websocket.js'), 'it loads what is used by default');
  for (const entry of [...besides, 'testing']) {
    for (const path of byFile.keys()) assert.ok(!path.split('/').at(-1)?.startsWith(entry), `it does not load ${path}`);
  }
});

test('a page that imports and uses nothing loads nothing', async () => {
  for (const entry of Object.keys(entries)) {
    const { byFile } = await bundle(`import * as client from 'throughline-client${entry.slice(1)}';`);
    assert.deepEqual([...byFile.keys()], [], entry);
  }
});
