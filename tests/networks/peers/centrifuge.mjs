// A stub of a Centrifuge server: its JSON protocol over WebSocket, and over HTTP-streaming and SSE, with /emulation for the way up.
// Every channel that is subscribed to is published to. Pongs are not waited for.

import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { WebSocketServer } from 'ws';

const PING_S = 25;

export function serve(http, publish) {
  const sessions = new Map();
  const open = (write) => {
    const session = clientSession(write, publish, () => sessions.delete(session.id));
    sessions.set(session.id, session);
    return session;
  };

  new WebSocketServer({ server: http, path: '/connection/websocket' }).on('connection', (webSocket) => {
    const session = open((reply) => webSocket.send(reply));
    webSocket.on('message', (commands) => session.hear(String(commands)));
    webSocket.on('close', session.end);
  });

  http.on('request', async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://server');
    if (pathname === '/emulation') {
      const { session, data } = JSON.parse(await text(request));
      sessions.get(session)?.hear(data);
      return response.writeHead(204).end();
    }
    const isSse = pathname === '/connection/sse';
    if (!isSse && pathname !== '/connection/http_stream') return response.writeHead(404).end();
    const commands = isSse ? searchParams.get('cf_connect') : await text(request);
    response.writeHead(200, {
      'Content-Type': isSse ? 'text/event-stream' : 'application/octet-stream',
      'Cache-Control': 'private, no-cache, no-store, must-revalidate, max-age=0',
    });
    const session = open((reply) => response.write(isSse ? `data: ${reply}\n\n` : `${reply}\n`));
    session.hear(commands);
    response.on('close', session.end);
  });
}

function clientSession(write, publish, whenOver) {
  const id = randomUUID();
  const stops = [];
  const send = (reply) => write(JSON.stringify(reply));
  const replies = {
    connect() {
      const timer = setInterval(() => send({}), PING_S * 1_000);
      stops.push(() => clearInterval(timer));
      return { client: id, version: 'stub', ping: PING_S, pong: true, session: id, node: 'stub' };
    },
    subscribe({ channel }) {
      setImmediate(() => publish((event) => send({ push: { channel, pub: { data: event } } }), (stop) => stops.push(stop)));
      return {};
    },
  };
  return {
    id,
    // Commands are lines; an empty one is a pong.
    hear(commands) {
      for (const { id: number, ...command } of commands.split('\n').filter(Boolean).map(JSON.parse)) {
        const [name] = Object.keys(command);
        if (replies[name]) send({ id: number, [name]: replies[name](command[name]) });
      }
    },
    end() {
      stops.forEach((stop) => stop());
      whenOver();
    },
  };
}
