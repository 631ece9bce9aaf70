// Another system's server, and its client on whatever network lies between. Each is as its documentation sets it up.
//
//   node peer.mjs serve NAME               prints {"port"}; every client gets an event at once, and one each 100 ms
//   node peer.mjs start NAME URL ROUNDS    prints {"first": [ms or null, …], "on"}: from nothing to the first event
//   node peer.mjs stay NAME URL            prints {"up"} once events flow; at a line on its input, or on a silence, it goes
//                                          on, and prints {"event"} for each event, until its input ends

import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const PATIENCE_MS = 15_000;
const EVERY_MS = 100;

const peers = {
  'socket.io': { server: socketIoServer, client: (url) => socketIoClient(url) },
  'socket.io, WebSocket first': {
    server: socketIoServer,
    client: (url) => socketIoClient(url, { transports: ['websocket', 'polling'], tryAllTransports: true }),
  },
  sockjs: { server: sockJsServer, client: sockJsClient },
};

async function socketIoServer(http) {
  const { Server } = await import('socket.io');
  new Server(http).on('connection', (socket) => publish((event) => socket.emit('event', event), (stop) => socket.on('disconnect', stop)));
}

async function socketIoClient(url, options = {}) {
  const { io } = await import('socket.io-client');
  return (heard) => {
    const socket = io(url, { forceNew: true, ...options });
    socket.on('event', (event) => heard(event, socket.io.engine.transport.name));
    return () => socket.disconnect();
  };
}

async function sockJsServer(http) {
  const { default: sockjs } = await import('sockjs');
  const server = sockjs.createServer({ log() {} });
  server.on('connection', (connection) => publish((event) => connection.write(String(event)), (stop) => connection.on('close', stop)));
  server.installHandlers(http, { prefix: '/sockjs' });
}

async function sockJsClient(url) {
  const { default: SockJS } = await import('sockjs-client');
  return (heard) => {
    let over = false;
    let socket;
    // It does not come back by itself: its documentation leaves that to the application, which here does so at once.
    const open = () => {
      socket = new SockJS(`${url}/sockjs`);
      socket.onmessage = (message) => heard(Number(message.data), socket._transport?.transportName);
      socket.onclose = () => over || setTimeout(open, 10);
    };
    open();
    return () => {
      over = true;
      socket.close();
    };
  };
}

function publish(send, whenOver) {
  let number = 0;
  send(number++);
  const timer = setInterval(() => send(number++), EVERY_MS);
  whenOver(() => clearInterval(timer));
}

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const [command, name, url, rounds] = process.argv.slice(2);
const peer = peers[name];
if (!peer) throw new Error(`no such peer: ${name}`);

if (command === 'serve') {
  const http = createServer();
  await peer.server(http);
  http.listen(0, '127.0.0.1', () => say({ port: http.address().port }));
} else if (command === 'start') {
  const connect = await peer.client(url);
  const first = [];
  let on;
  for (let round = 0; round < Number(rounds); round++) {
    const begun = performance.now();
    let close;
    const took = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), PATIENCE_MS);
      close = connect((_, transport) => {
        clearTimeout(timer);
        on = transport ?? on;
        resolve(performance.now() - begun);
      });
    });
    close();
    first.push(took);
    if (first.filter((time) => time === null).length === 2) break;
  }
  say({ first, on });
  process.exit();
} else {
  const connect = await peer.client(url);
  let heard = 0;
  connect((event, transport) => {
    heard += 1;
    if (heard === 1) say({ up: transport });
    say({ event, on: transport });
  });
  createInterface({ input: process.stdin }).on('close', () => process.exit());
}
