// A web site beside the gateway, with one page that uses the client as the gateway embeds it.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const read = (path) => readFileSync(new URL(path, import.meta.url));
const SCRIPT = 'text/javascript; charset=utf-8';
const FILES = {
  '/': ['text/html; charset=utf-8', read('client.html')],
  '/client.js': [SCRIPT, read('../../src/page/client.js')],
  '/heard.js': [SCRIPT, read('heard.js')],
  '/worker.js': [SCRIPT, read('worker.js')],
  '/elsewhere': ['text/html; charset=utf-8', '<!doctype html><link rel="icon" href="data:,"><title>Elsewhere</title>'],
};

/** Serves it; `url` is its address, `close()` ends it. Its pages may connect to this gateway and to nothing else. */
export async function site(gateway) {
  const { host } = new URL(gateway);
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "worker-src 'self'",
    'img-src data:',
    `connect-src http://${host} ws://${host} https://${host}`,
  ].join('; ');
  const server = createServer(({ url }, response) => {
    const file = FILES[new URL(url, 'http://site').pathname];
    if (!file) return response.writeHead(404).end();
    const [type, body] = file;
    response.writeHead(200, { 'content-type': type, 'content-security-policy': policy }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}
