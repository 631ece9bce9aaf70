// A stub of a SignalR hub: the JSON hub protocol over the three transports of ASP.NET Core, which its client, the real one, picks from.
// Whoever has shaken hands is published to. Clients that fell silent are not looked for.

import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { WebSocketServer } from 'ws';

const END = '\x1e';
const KEEP_ALIVE_MS = 15_000;
const POLL_MS = 90_000;
const availableTransports = [
  { transport: 'WebSockets', transferFormats: ['Text', 'Binary'] },
  { transport: 'ServerSentEvents', transferFormats: ['Text'] },
  { transport: 'LongPolling', transferFormats: ['Text', 'Binary'] },
];

export function serve(http, publish) {
  const connections = new Map();
  const sockets = new WebSocketServer({ noServer: true });
  const find = (request) => connections.get(new URL(request.url, 'http://hub').searchParams.get('id'));

  http.on('upgrade', (request, socket, head) => {
    const connection = find(request);
    if (!connection) return socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      connection.attach((messages) => webSocket.send(messages));
      webSocket.on('message', (messages) => connection.hear(String(messages)));
      webSocket.on('close', connection.end);
    });
  });

  http.on('request', async (request, response) => {
    const { pathname } = new URL(request.url, 'http://hub');
    if (request.method === 'POST' && pathname.endsWith('/negotiate')) {
      const [connectionId, connectionToken] = [randomUUID(), randomUUID()];
      connections.set(connectionToken, hubConnection(publish, () => connections.delete(connectionToken)));
      response.setHeader('Content-Type', 'application/json');
      return response.end(JSON.stringify({ negotiateVersion: 1, connectionId, connectionToken, availableTransports }));
    }
    const connection = find(request);
    if (!connection) return response.writeHead(404).end();
    if (request.method === 'POST') {
      connection.hear(await text(request));
      response.end();
    } else if (request.method === 'DELETE') {
      connection.end();
      response.writeHead(202).end();
    } else if (request.headers.accept === 'text/event-stream') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache,no-store' });
      response.write(':\r\n');
      connection.attach((messages) => response.write(`data: ${messages}\r\n\r\n`));
      response.on('close', connection.end);
    } else {
      connection.poll(response);
    }
  });
}

// What is sent waits for a stream, or for a poll.
function hubConnection(publish, whenOver) {
  let hasShakenHands = false;
  let waiting = '';
  let stream;
  let answer;
  let polled = false;
  let sentAt = Date.now();
  let stopPublishing = () => {};
  const keepAlive = setInterval(() => hasShakenHands && Date.now() - sentAt >= KEEP_ALIVE_MS && send({ type: 6 }), 1_000);

  const flush = () => {
    const out = stream ?? answer;
    if (!out || !waiting) return;
    const messages = waiting;
    [waiting, answer] = ['', undefined];
    out(messages);
  };
  const send = (message) => {
    sentAt = Date.now();
    waiting += JSON.stringify(message) + END;
    flush();
  };
  return {
    attach(write) {
      stream = write;
      flush();
    },
    // The first poll is answered at once: the client takes that for the connection.
    poll(response) {
      response.setHeader('Content-Type', 'text/plain');
      if (!polled) {
        polled = true;
        return response.end();
      }
      const timer = setTimeout(() => {
        answer = undefined;
        response.end();
      }, POLL_MS);
      answer = (messages) => {
        clearTimeout(timer);
        if (!messages) response.writeHead(204);
        response.end(messages);
      };
      flush();
    },
    hear(messages) {
      if (hasShakenHands || !messages.includes('"protocol":"json"')) return;
      hasShakenHands = true;
      send({});
      publish((event) => send({ type: 1, target: 'event', arguments: [event] }), (stop) => (stopPublishing = stop));
    },
    end() {
      clearInterval(keepAlive);
      stopPublishing();
      answer?.('');
      whenOver();
    },
  };
}
