// Another system's server, and its client on whatever network lies between. Each is as its documentation sets it up; where the
// server is no package of npm, a stub of its protocol stands for it.
//
//   node peer.mjs serve NAME               prints {"port"}; every client gets an event at once, and one each 100 ms
//   node peer.mjs start NAME URL ROUNDS    prints {"first": [ms or null, …], "on"}: from nothing to the first event
//   node peer.mjs stay NAME URL            prints {"up"} once events flow; at a line on its input, or on a silence, it goes
//                                          on, and prints {"event"} for each event, until its input ends

import http from 'node:http';
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
  signalr: { server: stub('./signalr.mjs'), client: signalRClient },
  centrifuge: { server: stub('./centrifuge.mjs'), client: centrifugeClient },
};

function stub(module) {
  return async (http) => (await import(module)).serve(http, publish);
}

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

async function signalRClient(url) {
  const { HubConnectionBuilder, LogLevel } = await import('@microsoft/signalr');
  return (heard) => {
    let over = false;
    // Its log would go where events are told.
    const connection = new HubConnectionBuilder().withUrl(`${url}/hub`).withAutomaticReconnect().configureLogging(LogLevel.None).build();
    connection.on('event', (event) => heard(event, connection.connection?.transport?.constructor.name));
    // What it gives up, a start that failed included, its documentation has the application start again, after 5 s.
    const start = () => over || connection.start().catch(() => setTimeout(start, 5_000));
    connection.onclose(start);
    start();
    return () => {
      over = true;
      connection.stop().catch(() => {});
    };
  };
}

async function centrifugeClient(url) {
  const [{ Centrifuge }, { WebSocket }, { default: EventSource }] = await Promise.all(['centrifuge', 'ws', 'eventsource'].map((name) => import(name)));
  // In the order of its documentation.
  const transports = [
    { transport: 'websocket', endpoint: `${url.replace('http', 'ws')}/connection/websocket` },
    { transport: 'http_stream', endpoint: `${url}/connection/http_stream` },
    { transport: 'sse', endpoint: `${url}/connection/sse` },
  ];
  return (heard) => {
    let on;
    const client = new Centrifuge(transports, { websocket: WebSocket, eventsource: EventSource, emulationEndpoint: `${url}/emulation` });
    client.on('connected', ({ transport }) => (on = transport));
    const subscription = client.newSubscription('events');
    subscription.on('publication', ({ data }) => heard(data, on));
    subscription.subscribe();
    client.connect();
    return () => client.disconnect();
  };
}

function publish(send, whenOver) {
  let number = 0;
  send(number++);
  const timer = setInterval(() => send(number++), EVERY_MS);
  whenOver(() => clearInterval(timer));
}

// What begins from nothing finds no connection of an earlier round waiting for it.
function forgetConnections() {
  http.globalAgent = new http.Agent({ keepAlive: true, timeout: 5_000 });
  const fetching = Symbol.for('undici.globalDispatcher.1');
  if (globalThis[fetching]) globalThis[fetching] = new globalThis[fetching].constructor();
}

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const [command, name, url, rounds] = process.argv.slice(2);
const peer = peers[name];
if (!peer) throw new Error(`no such peer: ${name}`);

if (command === 'serve') {
  const server = http.createServer();
  await peer.server(server);
  server.listen(0, '127.0.0.1', () => say({ port: server.address().port }));
} else if (command === 'start') {
  const connect = await peer.client(url);
  const first = [];
  let on;
  for (let round = 0; round < Number(rounds); round++) {
    forgetConnections();
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
