// One Chromium for many cells: a line of JSON in says what a page is to do, a line of JSON out is what it tells.
//
//   node chromium.mjs CLIENT [PEM]         CLIENT is the client's bundle, a script that defines `throughline`; PEM a certificate to trust
//   {"page": 1, "open": URL, "proxy"?}     a page of that origin, in a context that remembers nothing; tells {"opened"}
//   {"page": 1, "call": NAME, "with": …}   calls what `page.js` has of this name
//   {"page": 1, "close": true}             ends it
//   {"page": 1, "error": TEXT}             is told when one of these fails, or something goes wrong in the page
//
// The document and its modules are handed over by the browser's own interception, which is off before the page is told to be
// open: none of their bytes cross the network. So the page is of the gateway's own origin, as most are, without CORS and its
// questions in advance, and yet no connection stands when the client calls for the first time, and a network may be hostile
// before the page is there. The connection that a browser makes by itself for a page that it expects to load is closed again.
//
// `PLAYWRIGHT` names the node_modules that holds playwright-core, `CHROMIUM` the browser.

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const { PLAYWRIGHT, CHROMIUM } = process.env;
if (!PLAYWRIGHT || !CHROMIUM) throw new Error('PLAYWRIGHT and CHROMIUM have to say where these are');
const { chromium } = createRequire(join(PLAYWRIGHT, 'any.js'))('playwright-core');

const [client, pem] = process.argv.slice(2);
// By its key: a browser that is merely told to overlook an error makes each connection twice.
const trust = (pem) => {
  const key = new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
  return `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`;
};
const script = (file) => ({ contentType: 'text/javascript', body: readFileSync(file, 'utf8') });
const icon = '<link rel="icon" href="data:,">';
const scripts = ['client.js', 'page.js'].map((name) => `<script src="${name}"></script>`);
const files = {
  '': { contentType: 'text/html', body: `<!doctype html>${icon}${scripts.join('')}` },
  'client.js': script(client),
  'page.js': script(new URL('page.js', import.meta.url)),
};

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  headless: true,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    // A document that is handed over came from no network, so that it would have to be allowed to call loopback.
    `--disable-features=${['', 'WebSockets', 'WebTransport'].map((of) => `LocalNetworkAccessChecks${of}`)}`,
    '--enable-net-benchmarking', // lets a page close connections
    ...(pem ? [trust(pem)] : []),
  ],
});
const pages = new Map();
let last = Promise.resolve();
const say = (number, what) => process.stdout.write(`${JSON.stringify({ page: number, ...what })}\n`);

async function open(number, { open: url, proxy }) {
  const context = await browser.newContext({
    // A browser goes to loopback by itself, unless it is told not to.
    ...(proxy && { proxy: { server: proxy, bypass: '<-loopback>' } }),
  });
  try {
    return { context, devtools: await load(context, number, url) };
  } catch (error) {
    await context.close();
    throw error;
  }
}

async function load(context, number, url) {
  const page = await context.newPage();
  page.on('pageerror', (error) => say(number, { error: `in the page: ${error.stack || error}` }));
  const devtools = await context.newCDPSession(page);
  await devtools.send('Runtime.enable');
  await devtools.send('Runtime.addBinding', { name: 'tell' });
  devtools.on('Runtime.bindingCalled', ({ payload }) => say(number, JSON.parse(payload)));
  await page.route('**', (route) => {
    const file = files[route.request().url().slice(url.length)];
    return file ? route.fulfill(file) : route.abort();
  });
  await page.goto(url);
  await page.unrouteAll();
  await page.evaluate(() => chrome.benchmarking.closeConnections());
  say(number, { opened: true });
  return devtools;
}

async function call(opening, name, argument) {
  const { devtools } = await opening;
  const expression = `does.${name}(${JSON.stringify(argument ?? null)})`;
  const { exceptionDetails: failed } = await devtools.send('Runtime.evaluate', { expression });
  if (failed) throw new Error(failed.exception?.description ?? failed.text);
}

async function heed({ page: number, ...what }) {
  if (what.open) {
    // One after the other: many at once would take from each other what they need.
    const opening = last.then(() => pages.has(number) && open(number, what));
    last = opening.catch(() => {});
    pages.set(number, opening);
    await opening;
  } else if (what.call) {
    await call(pages.get(number), what.call, what.with);
  } else if (what.close) {
    const opening = pages.get(number);
    pages.delete(number);
    const { context } = await opening;
    await context?.close();
  }
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const what = JSON.parse(line);
  heed(what).catch((error) => {
    // What is asked of a page that is being closed has nobody to fail for.
    if (pages.has(what.page)) say(what.page, { error: String(error.message ?? error) });
  });
});
input.on('close', async () => {
  await browser.close();
  process.exit();
});
say(0, { version: browser.version() });
