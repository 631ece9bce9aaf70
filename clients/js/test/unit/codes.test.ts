/** The tables of codes against those of docs/protocol.md. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { closeCodes, errorCodes, retryReasons } from '../../src/codes.js';

const protocol = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8');

/** The rows of the table that begins with these columns, without their markup. */
function rows(...columns: readonly string[]): string[][] {
  const [, table = ''] = protocol.split(`| ${columns.join(' | ')} |\n`);
  const lines = table.split('\n').slice(1);
  const end = lines.findIndex((line) => !line.startsWith('|'));
  const cells = lines.slice(0, end).map((line) => line.split('|').slice(1, -1));
  return cells.map((row) => row.map((cell) => cell.trim().replaceAll('`', '')));
}

test('every close code of the protocol is known by its name, and no other', () => {
  const named = rows('code', 'name', 'the client').map(([code, name]) => [name, Number(code)]);
  assert.ok(named.length > 5);
  assert.deepEqual(closeCodes, Object.fromEntries(named));
});

test('every error code of the protocol is known, with whether to try again, and no other', () => {
  const named = rows('code', 'retryable', 'meaning').map(([code, retryable]) => [code, retryable === 'yes']);
  assert.ok(named.length > 30);
  assert.deepEqual(errorCodes, Object.fromEntries(named));
});

test('every reason of a retry in the protocol is known, and no other', () => {
  assert.deepEqual(retryReasons, rows('`reason`', 'the client').flatMap(([reasons = '']) => reasons.split(', ')));
});

test('the table that every client runs has these codes, and no other', () => {
  const table = readFileSync(new URL('../../../../tests/vectors/codes.json', import.meta.url), 'utf8');
  const { vectors } = JSON.parse(table) as { vectors: Record<string, string>[] };
  const pairs = (key: string, value: string) => vectors.flatMap((vector) => (key in vector ? [[vector[key], vector[value]] as const] : []));
  assert.deepEqual(Object.fromEntries(pairs('closeName', 'closeCode')), closeCodes);
  assert.deepEqual(Object.fromEntries(pairs('errorCode', 'retryable')), errorCodes);
  assert.deepEqual(pairs('retryReason', 'then').map(([reason]) => reason), retryReasons);
});
