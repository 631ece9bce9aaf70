// The page of `throughline serve` in a real browser: what a person does there, and what the page then shows.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { browser } from './browser.mjs';
import { gateway } from './gateway.mjs';
import { Person } from './person.mjs';

const TRANSPORTS = ['webtransport', 'websocket', 'sse', 'polling'];
const LIMIT = { timeout: 60_000 };

let served;
let chromium;

before(async () => {
  served = await gateway();
  chromium = await browser();
}, LIMIT);

after(async () => {
  await chromium?.close();
  await served?.stop();
}, LIMIT);

for (const transport of TRANSPORTS) {
  test(`what is published shows up once, by ${transport}`, LIMIT, async () => {
    const person = await visit();
    await person.picks(transport);
    await person.subscribes(`shown-by-${transport}`);
    await person.publishes(`shown-by-${transport}`, { by: transport });
    const row = await person.sees(`shown-by-${transport}`, { by: transport });
    assert.equal(await row.getAttribute('data-transport'), transport);
    await person.leaves();
  });

  test(`a session by ${transport} goes on where its link was cut`, LIMIT, async () => {
    const channel = `cut-${transport}`;
    const [person, other] = [await visit(), await visit()];
    await person.picks(transport);
    await person.subscribes(channel);
    const session = await person.session();
    const attach = await person.attach();
    await person.cuts();
    await other.publishes(channel, { missed: true });
    await person.sees(channel, { missed: true });
    assert.equal(await person.session(), session, 'the session outlives its link');
    assert.ok((await person.attach()) > attach, 'a link was cut');
    await Promise.all([person.leaves(), other.leaves()]);
  });
}

test('what is published while a person is away comes when they are back', LIMIT, async () => {
  const [person, other] = [await visit(), await visit()];
  await person.subscribes('away');
  const session = await person.session();
  await person.page.getByTestId('offline').click();
  await person.is('offline');
  await other.subscribes('away');
  for (let n = 1; n <= 20; n += 1) await other.publishes('away', { n });
  await other.sees('away', { n: 20 });
  assert.equal(await person.events('away').count(), 0);
  await person.page.getByTestId('offline').click();
  await person.sees('away', { n: 20 });
  await person.saw('away', 20);
  assert.equal(await person.session(), session);
  await Promise.all([person.leaves(), other.leaves()]);
});

test('a session moves from each transport to each other while events flow, and loses none', LIMIT, async () => {
  const [person, other] = [await visit(), await visit()];
  await person.subscribes('moving');
  await other.subscribes('moving');
  const session = await person.session();
  let published = 0;
  for (const transport of everyMove()) {
    await person.page.getByTestId('transport').selectOption(transport);
    for (let n = 0; n < 3; n += 1) await other.publishes('moving', { n: (published += 1) });
    await person.is('live', transport);
  }
  await person.sees('moving', { n: published });
  await person.saw('moving', published);
  assert.equal(await person.session(), session);
  await Promise.all([person.leaves(), other.leaves()]);
});

test('a page begins by a poll and moves up to WebTransport by itself', LIMIT, async () => {
  const person = await visit();
  await person.is('live', 'webtransport');
  await person.tells('polling', 'preferred');
  await person.tells('webtransport', 'proven');
  await person.leaves();
});

test('the certificate that is accepted is the one that the gateway offers', LIMIT, async () => {
  const person = await visit(() => {
    const { WebTransport } = window;
    window.asked = [];
    window.WebTransport = class extends WebTransport {
      constructor(url, { serverCertificateHashes, protocols }) {
        super(url, { serverCertificateHashes, protocols });
        const hex = ({ value }) => [...value].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        window.asked.push({ url: String(url), hashes: serverCertificateHashes.map(hex), protocols });
      }
    };
  });
  await person.is('live', 'webtransport');
  const [asked] = await person.page.evaluate(() => window.asked);
  const { transports } = await (await fetch(new URL('v1/negotiate', served.page))).json();
  const { url, certificateHashes } = transports.find(({ name }) => name === 'webtransport');
  assert.ok(certificateHashes.length > 0, 'the certificate is one that only its hash vouches for');
  assert.deepEqual(asked.hashes, certificateHashes);
  assert.equal(asked.url, String(new URL(url, new URL('v1/', served.page.replace('http:', 'https:')))));
  assert.deepEqual(asked.protocols, ['throughline.v1.json']);
  await person.leaves();
});

test('a browser without WebTransport is told so, and goes by WebSocket', LIMIT, async () => {
  const person = await visit(() => delete window.WebTransport);
  await person.is('live', 'websocket');
  const option = person.page.locator('option[value="webtransport"]');
  assert.equal(await option.isDisabled(), true);
  assert.match(await option.textContent(), /not in this browser/);
  await person.tells('webtransport', 'unsupported');
  await person.leaves();
});

test('a probe that swallows what comes down never displaces the link that works', LIMIT, async () => {
  const person = await visit(() => {
    // Both come up and take what they are given; nothing ever comes out of them.
    Object.defineProperty(WebSocket.prototype, 'onmessage', { set() {} });
    const open = WebTransport.prototype.createBidirectionalStream;
    WebTransport.prototype.createBidirectionalStream = async function () {
      const { writable } = await open.call(this);
      return { writable, readable: new ReadableStream() };
    };
  });
  await person.subscribes('swallowed');
  const session = await person.session();
  let published = 0;
  for (const transport of ['webtransport', 'websocket']) {
    await person.picks('polling');
    await person.page.getByTestId('transport').selectOption(transport);
    for (let n = 0; n < 5; n += 1) await person.publishes('swallowed', { n: (published += 1) });
    await person.sees('swallowed', { n: published });
    await person.tells(transport, 'silent');
    await person.is('live', 'polling');
  }
  await person.picks('polling');
  await person.saw('swallowed', published);
  assert.equal(await person.session(), session);
  await person.leaves();
});

test('the gateway can tell why a person is on polling', LIMIT, async () => {
  const person = await visit(() => {
    // WebSockets are refused, WebTransport stands and says nothing, event streams are never answered.
    window.WebSocket = function () {
      this.close = () => {};
      setTimeout(() => this.onclose({ code: 1006 }));
    };
    WebTransport.prototype.createBidirectionalStream = async () => ({
      writable: new WritableStream(),
      readable: new ReadableStream(),
    });
    const { fetch } = window;
    window.fetch = (url, options) => (/events$/.test(url) ? new Promise(() => {}) : fetch(url, options));
  });
  for (const [transport, outcome] of [['webtransport', 'silent'], ['websocket', 'refused'], ['sse', 'hung']]) {
    await person.tells(transport, outcome);
  }
  await person.is('live', 'polling');
  const told = await until(async () => {
    const { transports } = await admin(`sessions/${await person.session()}`);
    const told = transports.history.filter(({ by }) => by === 'client').map(({ transport, outcome }) => `${transport} ${outcome}`);
    return told.includes('sse hung') && told;
  });
  for (const attempt of ['polling proven', 'webtransport silent', 'websocket refused']) assert.ok(told.includes(attempt), `${told}`);
  await person.leaves();
});

test('a page moves when the gateway asks it to', LIMIT, async () => {
  const person = await visit();
  await person.is('live', 'webtransport');
  for (const transport of ['websocket', 'polling']) {
    await admin(`sessions/${await person.session()}/migrate`, { transports: [transport] });
    await person.is('live', transport);
  }
  await person.tells('webtransport', 'drained');
  await person.leaves();
});

test('what may be lost is shown, and counts for nothing', LIMIT, async () => {
  const person = await visit();
  await person.subscribes('volatile');
  for (const transport of TRANSPORTS) {
    await person.picks(transport);
    const row = person.row('volatile', 'volatile').filter({ hasText: `"${transport}"` }).first();
    await until(async () => {
      await admin('volatile', { channel: 'volatile', data: { by: transport } });
      return row.waitFor({ timeout: 1_000 }).then(() => true, () => false); // it may be lost
    });
    assert.equal(await row.getAttribute('data-transport'), transport);
  }
  await person.leaves();
});

test('a gateway that stops says goodbye over WebTransport', LIMIT, async () => {
  const stopping = await gateway();
  const person = await Person.visit(chromium, stopping.page);
  await person.picks('webtransport');
  await stopping.stop();
  await person.tells('webtransport', 'drained');
  await person.leaves();
});

test('cuts while events flow lose nothing and double nothing', LIMIT, async () => {
  const [person, other] = [await visit(), await visit()];
  await person.subscribes('cuts');
  const attach = await person.attach();
  for (let n = 1; n <= 40; n += 1) {
    await other.publishes('cuts', { n });
    if (n % 8 === 0) await person.cuts();
  }
  await person.sees('cuts', { n: 40 });
  await person.saw('cuts', 40);
  assert.ok((await person.attach()) >= attach + 4, 'links were cut');
  await Promise.all([person.leaves(), other.leaves()]);
});

test('a narrow screen shows all of it without scrolling sideways', LIMIT, async () => {
  const person = await visit();
  await person.page.setViewportSize({ width: 340, height: 720 });
  await person.subscribes('narrow');
  await person.publishes('narrow', { long: 'x'.repeat(400) });
  await person.sees('narrow', { long: 'x'.repeat(400) });
  const [content, screen] = await person.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= screen, `${content} > ${screen}`);
  await person.leaves();
});

test('what others say is shown as text, never as markup', LIMIT, async () => {
  const person = await visit();
  await person.subscribes('markup');
  const said = '<img src=x onerror="document.title=1"><b>bold</b>';
  await person.publishes('markup', said);
  const row = await person.sees('markup', said);
  assert.equal(await row.locator('b, img').count(), 0);
  assert.equal(await person.page.title(), 'Throughline');
  await person.leaves();
});

const visit = (prepare) => Person.visit(chromium, served.page, prepare);

/** Asks the admin API. */
async function admin(path, body) {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(new URL(`api/v1/${path}`, served.admin), body && post);
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

/** Asks again until there is an answer; the test's limit ends it. */
async function until(ask) {
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
  }
}

/** A walk over the transports in which each follows each other. */
const everyMove = () =>
  TRANSPORTS.flatMap((one, place) => [one, ...TRANSPORTS.slice(place + 1).flatMap((other) => [other, one])]);
