/** Where transports are (docs/protocol.md, Offers). */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { addressOf, withoutCredentials } from '../../../src/transports/address.js';

const SCHEMES = { http: ['https:', 'http:'], websocket: ['wss:', 'ws:'], webtransport: ['https:', 'https:'] } as const;

const at = (base: string, url: string | undefined, kind: keyof typeof SCHEMES) =>
  addressOf({ base: new URL(base), offer: url === undefined ? undefined : { name: kind, url } }, 'path', SCHEMES[kind]).href;

test('what is not offered is at its fixed path below the gateway', () => {
  assert.equal(at('http://a.example/live/', undefined, 'http'), 'http://a.example/live/v1/path');
  assert.equal(at('http://a.example/', undefined, 'websocket'), 'ws://a.example/v1/path');
  assert.equal(at('https://a.example:8443/', undefined, 'websocket'), 'wss://a.example:8443/v1/path');
});

test('a reference is resolved against the address that was called', () => {
  assert.equal(at('https://a.example/live/', 'poll', 'http'), 'https://a.example/live/v1/poll');
  assert.equal(at('https://a.example/live/', '/other', 'http'), 'https://a.example/other');
  assert.equal(at('https://a.example/live/', '//b.example/ws', 'websocket'), 'wss://b.example/ws');
  assert.equal(at('http://a.example/live/', 'wss://b.example/ws', 'websocket'), 'wss://b.example/ws');
  assert.equal(at('http://a.example/live/', 'https://b.example/ws', 'websocket'), 'wss://b.example/ws');
});

test('WebTransport is at the same port number by https, whatever the gateway is called by', () => {
  assert.equal(at('http://a.example:7080/', 'webtransport', 'webtransport'), 'https://a.example:7080/v1/webtransport');
  assert.equal(at('http://a.example/', 'webtransport', 'webtransport'), 'https://a.example:80/v1/webtransport');
  assert.equal(at('https://a.example/', 'webtransport', 'webtransport'), 'https://a.example/v1/webtransport');
});

test('an offer that leads from TLS to plain text is not followed', () => {
  assert.throws(() => at('https://a.example/', 'ws://a.example/v1/websocket', 'websocket'));
  assert.throws(() => at('https://a.example/', 'http://a.example/v1/poll', 'http'));
});

test('an offer that leads to another scheme, holds credentials or is no address is not followed', () => {
  for (const url of ['ftp://a.example/', 'javascript:alert(1)', 'data:,', 'https://me:secret@a.example/', 'https://me@a.example/', 'http://[']) {
    assert.throws(() => at('http://a.example/', url, 'http'), url);
  }
});

test('an offer with credentials is refused and shows none of them', () => {
  for (const url of ['http://me:secret@a.example/x', '//me:secret@a.example/x', 'ftp://me:se@cret@a.example/x']) {
    assert.throws(() => at('http://a.example/', url, 'http'), { message: 'a.example/x is no address for this transport' });
    assert.equal(withoutCredentials(url), 'a.example/x');
  }
  assert.equal(withoutCredentials('/v1/poll?to=a@b'), '/v1/poll?to=a@b');
  for (const url of ['http://me:se@cret@[', 'http://me:se?cr#et@[']) {
    assert.throws(() => at('http://a.example/', url, 'http'), { message: '[ is no address' });
    assert.equal(withoutCredentials(url), '[');
  }
});
