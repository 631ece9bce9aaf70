// The page of `throughline serve` in a real browser: what a person does there, and what the page then shows.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { ask, everyMove } from './admin.mjs';
import { browser } from './browser.mjs';
import { contrasts } from './contrast.mjs';
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
    const links = await person.links();
    await person.cuts();
    await other.publishes(channel, { missed: true });
    await person.sees(channel, { missed: true });
    assert.equal(await person.session(), session, 'the session outlives its link');
    await person.hasHadMoreThan(links);
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
  for (const transport of everyMove(TRANSPORTS)) {
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
  assert.match(await option.textContent(), /this platform has no WebTransport/);
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
    await person.is('live');
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
  for (const [transport, outcome] of [['webtransport', 'silent'], ['websocket', 'refused'], ['sse', 'silent']]) {
    await person.tells(transport, outcome);
  }
  await person.is('live', 'polling');
  await person.publishes('told', {}); // what was tried goes up with what goes up anyway
  const told = await until(async () => {
    const { transports } = await admin(`sessions/${await person.session()}`);
    const told = transports.history.filter(({ by }) => by === 'client').map(({ transport, outcome }) => `${transport} ${outcome}`);
    return told.includes('sse silent') && told;
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
  const links = await person.links();
  for (let n = 1; n <= 40; n += 1) {
    await other.publishes('cuts', { n });
    if (n % 8 === 0) await person.cuts();
  }
  await person.sees('cuts', { n: 40 });
  await person.saw('cuts', 40);
  await person.hasHadMoreThan(links + 3);
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

test('a page that is loaded again is in the same session and the same channels', LIMIT, async () => {
  const person = await visit();
  await person.subscribes('again');
  const session = await person.session();
  await person.publishes('again', { before: true });
  await person.sees('again', { before: true });
  await person.page.reload();
  await person.is('live');
  assert.equal(await person.session(), session);
  await person.row('subscribed', 'again').first().waitFor();
  await person.publishes('again', { after: true });
  await person.sees('again', { after: true });
  await person.leaves();
});

test('another codec is another load of the page, in the same session', LIMIT, async () => {
  const person = await visit();
  await person.subscribes('codec');
  const session = await person.session();
  for (const codec of ['bincode', 'json']) {
    await person.page.getByTestId('codec').selectOption(codec);
    await person.page.waitForURL(`**/?codec=${codec}`);
    await person.is('live');
    assert.equal(await person.page.getByTestId('codec').inputValue(), codec);
    assert.equal(await person.session(), session);
    await person.row('subscribed', 'codec').first().waitFor();
    await person.publishes('codec', { codec });
    await person.sees('codec', { codec });
  }
  await person.leaves();
});

test('who is in a channel is shown to whoever is seen in it', LIMIT, async () => {
  const [person, other] = [await visit(), await visit()];
  await person.subscribes('room');
  await other.subscribes('room');
  const [one, two] = [await person.session(), await other.session()];
  for (const each of [person, other]) for (const member of [one, two]) await each.member('room', member).waitFor();
  await other.page.getByRole('button', { name: 'Unsubscribe from room' }).click();
  await person.member('room', two).waitFor({ state: 'detached' });
  await person.row('presence', 'room').filter({ hasText: 'went; 1 here' }).waitFor();
  await Promise.all([person.leaves(), other.leaves()]);
});

test('a goodbye ends the session, and another one can be opened', LIMIT, async () => {
  const person = await visit();
  const session = await person.session();
  await person.page.getByTestId('bye').click();
  await person.is('closed');
  await person.page.getByTestId('bye').click();
  await person.is('live');
  assert.notEqual(await person.session(), session);
  await person.leaves();
});

test('everything that can be used has a name, is reached by keyboard, and shows where the focus is', LIMIT, async () => {
  const person = await visit();
  await person.subscribes('names');
  const controls = person.page.locator('button:enabled, input, select');
  const names = await controls.evaluateAll((all) =>
    all.map((control) => control.ariaLabel ?? control.labels?.[0]?.textContent.trim() ?? control.textContent.trim()));
  assert.ok(names.length >= 12 && names.every(Boolean), `${names}`);
  const reached = new Set();
  await person.page.locator('h1').click();
  for (let n = 0; n < names.length; n += 1) {
    await person.page.keyboard.press('Tab');
    reached.add(await person.page.evaluate(() => {
      const { outlineStyle } = getComputedStyle(document.activeElement);
      return outlineStyle !== 'none' && document.activeElement.outerHTML;
    }));
  }
  assert.ok(!reached.has(false), 'the focus is shown');
  assert.equal(reached.size, names.length, 'each once');
  await person.leaves();
});

for (const colorScheme of ['light', 'dark']) {
  test(`what is written can be read, in ${colorScheme} colours`, LIMIT, async () => {
    const person = await visit();
    await person.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await person.subscribes(`read-${colorScheme}`);
    for (const transport of TRANSPORTS) {
      await person.picks(transport);
      await person.publishes(`read-${colorScheme}`, { by: transport });
      await person.sees(`read-${colorScheme}`, { by: transport });
    }
    assert.deepEqual((await person.page.evaluate(contrasts)).filter(({ ratio }) => ratio < 4.5), []);
    assert.equal(await person.page.evaluate(() => document.getAnimations().length), 0, 'nothing moves for who does not want it');
    await person.leaves();
  });
}

const visit = (prepare) => Person.visit(chromium, served.page, prepare);

const admin = (path, body) => ask(served, path, body);

/** Asks again until there is an answer; the test's limit ends it. */
async function until(ask) {
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
  }
}
