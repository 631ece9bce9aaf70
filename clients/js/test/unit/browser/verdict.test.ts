/** What is remembered of transports over page loads. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { verdictStore } from '../../../src/browser/verdict.js';
import { FakeStorage } from './fakes.js';

const base = new URL('https://a.example/live/');
const KEY = 'throughline:verdict:https://a.example/live/';
const verdict = { transport: 'webtransport', offer: { name: 'webtransport', certificateHashes: ['00'] }, atMs: 5 } as const;

describe('a verdict', () => {
  test('is there for the next page of the same gateway, and for no other', () => {
    const storage = new FakeStorage();
    verdictStore(base, () => storage).save(verdict);
    assert.deepEqual(verdictStore(base, () => storage).load(), verdict);
    assert.equal(verdictStore(new URL('https://b.example/'), () => storage).load(), undefined);
    assert.deepEqual([...storage.items.keys()], [KEY]);
  });

  test('is forgotten when it is told so', () => {
    const storage = new FakeStorage();
    const store = verdictStore(base, () => storage);
    store.save(verdict);
    store.save(undefined);
    assert.equal(store.load(), undefined);
    assert.equal(storage.items.size, 0);
  });

  test('is none if anything about it is odd', () => {
    const storage = new FakeStorage();
    for (const odd of [
      'x',
      'null',
      '{}',
      '{"transport":1,"atMs":5}',
      '{"transport":"sse","atMs":"5"}',
      '{"transport":"sse","atMs":5,"offer":{}}',
      '{"transport":"sse","atMs":5,"offer":{"name":"sse","url":1}}',
      '{"transport":"sse","atMs":5,"offer":{"name":"sse","certificateHashes":"00"}}',
      '{"transport":"sse","atMs":5,"offer":{"name":"sse","certificateHashes":[0]}}',
    ]) {
      storage.items.set(KEY, odd);
      assert.equal(verdictStore(base, () => storage).load(), undefined, odd);
    }
    storage.items.set(KEY, '{"transport":"sse","atMs":5}');
    assert.deepEqual(verdictStore(base, () => storage).load(), { transport: 'sse', atMs: 5 });
  });

  test('is remembered by the session alone where a storage refuses, or there is none', () => {
    const storage = new FakeStorage();
    storage.refusesAll = new DOMException('blocked', 'SecurityError');
    for (const shelf of [() => storage, undefined, () => { throw new DOMException('blocked', 'SecurityError'); }]) {
      const store = verdictStore(base, shelf);
      store.save(verdict);
      assert.deepEqual(store.load(), verdict);
      assert.equal(verdictStore(base, shelf).load(), undefined);
    }
  });
});
