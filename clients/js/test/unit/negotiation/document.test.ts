/** `docs/negotiation.md` against this client: the times that it names. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { defaultTiming } from '../../../src/core/timing.js';

test('every time of the document is the default of this client', async () => {
  const document = await readFile(new URL('../../../../../docs/negotiation.md', import.meta.url), 'utf8');
  const times = document.split('## Times')[1]?.split('\n## ')[0] ?? '';
  const rows = [...times.matchAll(/^\| (\w+) \| ([\d,]+) \|/gm)].map(([, name = '', ms = '']) => [name, Number(ms.replace(',', ''))] as const);
  assert.equal(rows.length, 9);
  const defaults: Readonly<Record<string, number>> = { ...defaultTiming };
  for (const [name, ms] of rows) assert.equal(defaults[`${name}Ms`], ms, name);
});
