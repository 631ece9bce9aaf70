// Drives the page at `/` of a running gateway in a headless Chromium: `URL`, `CHROMIUM` and `PLAYWRIGHT` are told by
// the environment. Exits with 0 if the page does what it claims on every transport.
//
// Two pages play: a reader, whose link is cut, moved and kept away, and a writer, which goes on publishing. What the
// reader has seen in the end is compared with what the writer published: each event once, in order, in one session.

import assert from 'node:assert/strict';
import { browser, told } from './browser.mjs';
import { Person } from './person.mjs';

const TRANSPORTS = ['polling', 'sse', 'websocket'];
const PATIENCE_MS = 30_000; // for a wait in vain; nothing else waits for time

const chromium = await browser();
let failed = 0;
try {
  for (const transport of TRANSPORTS) {
    await test(`an event comes by ${transport}`, (reader, writer) => comesBy(transport, reader, writer));
    await test(`a cut of ${transport} loses nothing and doubles nothing`, (reader, writer) => cut(transport, reader, writer));
    await test(`what was published while ${transport} was away comes afterwards`, (reader, writer) => away(transport, reader, writer));
  }
  for (const from of TRANSPORTS) {
    for (const to of TRANSPORTS.filter((name) => name !== from)) {
      await test(`${from} moves to ${to} while events flow`, (reader, writer) => migrate(from, to, reader, writer));
    }
  }
  await test('a narrow screen shows everything without scrolling sideways', narrow);
} finally {
  await chromium.close();
}
process.exit(failed === 0 ? 0 : 1);

async function comesBy(transport, reader, writer) {
  await settle(reader, transport);
  const channel = await listen(reader);
  await writer.publish(channel, 1);
  const [event] = await reader.events(channel, 1);
  assert.equal(event.transport, transport);
}

async function cut(transport, reader, writer) {
  await settle(reader, transport);
  const channel = await listen(reader);
  for (let n = 1; n <= 40; n++) {
    await writer.publish(channel, n);
    if (n % 8 === 0) await reader.page.getByTestId('cut').click();
  }
  await complete(reader, channel, 40);
  assert.ok((await reader.attaches()) > 5, 'no link was cut');
}

async function away(transport, reader, writer) {
  await settle(reader, transport);
  const channel = await listen(reader);
  await writer.publish(channel, 1);
  await reader.events(channel, 1);
  await reader.page.getByTestId('offline').click();
  await reader.is('offline');
  for (let n = 2; n <= 20; n++) await writer.publish(channel, n);
  await writer.replies(20);
  assert.equal((await reader.seen(channel)).length, 1, 'nothing comes while it is away');
  await reader.page.getByTestId('offline').click();
  await complete(reader, channel, 20);
}

async function migrate(from, to, reader, writer) {
  await settle(reader, from);
  const channel = await listen(reader);
  for (let n = 1; n <= 30; n++) {
    await writer.publish(channel, n);
    if (n === 10) await reader.choose(to);
  }
  await reader.is('live', to);
  for (let n = 31; n <= 40; n++) await writer.publish(channel, n);
  const events = await complete(reader, channel, 40);
  assert.equal(events[39].transport, to);
}

async function narrow(reader) {
  await reader.page.setViewportSize({ width: 360, height: 740 });
  await listen(reader);
  const [content, screen] = await reader.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= screen, `${content} > ${screen}`);
}

/** All events are there once and in order, items have risen, and the session is the one it began as. */
async function complete(reader, channel, count) {
  const events = await reader.events(channel, count);
  assert.deepEqual(events.map(({ offset }) => offset), range(count), 'offsets');
  assert.deepEqual(events.map(({ data }) => Number(data)), range(count), 'payloads');
  const numbers = await reader.numbers();
  assert.deepEqual(numbers, range(numbers.length), 'item numbers');
  assert.equal(await reader.session(), reader.first, 'the session');
  return events;
}

async function settle(reader, transport) {
  await reader.choose(transport);
  await reader.is('live', transport);
  reader.first = await reader.session();
}

async function listen(reader) {
  const channel = `page-${Math.random().toString(36).slice(2)}`;
  await reader.page.getByTestId('subscribe-channel').fill(channel);
  await reader.page.getByTestId('subscribe').click();
  await reader.page.locator(`[data-kind=subscribed][data-channel="${channel}"]`).waitFor();
  return channel;
}

async function test(name, body) {
  const context = await chromium.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  const faults = [];
  try {
    const reader = await open(context, faults);
    const writer = await open(context, faults);
    await body(reader, writer);
    assert.deepEqual(faults, [], 'the page made no errors');
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name}\n${error.stack}`);
  } finally {
    await context.close();
  }
}

async function open(context, faults) {
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(String(error)));
  // What the page's policy forbids is said on the console; a link that is cut says so there too, and may.
  page.on('console', (line) => line.text().includes('Content Security Policy') && faults.push(line.text()));
  await page.goto(told('URL'));
  const person = new Person(page);
  await person.is('live');
  return person;
}

function range(count) {
  return Array.from({ length: count }, (_, index) => index + 1);
}
