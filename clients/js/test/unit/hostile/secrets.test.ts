/** What must not be handed on: to whoever redirects a request, or to whoever reads why a link ended. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { json } from '../../../src/codec/json.js';
import { polling } from '../../../src/index.js';
import { systemClock } from '../../../src/clock.js';

test('a request that is redirected hands its token to nobody', () => {
  const asked: (RequestInit | undefined)[] = [];
  const fetch = (_: unknown, init?: RequestInit) => {
    asked.push(init);
    return new Promise<Response>(() => undefined);
  };
  const nothing = () => undefined;
  const events = { opened: nothing, received: nothing, alive: nothing, answered: nothing, posted: nothing, ended: nothing };
  const link = polling({ fetch }).open({ base: new URL('http://gateway.test/'), codec: json(), clock: systemClock, connectMs: 5_000, events });
  link.poll(1, [{ type: 'hello', version: 0, instance: 'i', attach: 1, auth: 'secret' }]);
  assert.deepEqual(asked.map((init) => init?.redirect), ['error']);
  link.close(false);
});

test('what is said of a frame that cannot be read quotes nothing of it', () => {
  const { fault } = json().decode('{"type":"welcome","token":"secret!');
  assert.equal(fault?.code, 'malformed_frame');
  assert.ok(!fault.message.includes('secret'));
});
