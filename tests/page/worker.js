// The client in a worker, which has no document: a message begins it; on the transport that is wanted it subscribes, and answers with each event's data.
'use strict';

importScripts('/client.js');

onmessage = ({ data: { base, transports, channel } }) => {
  const { connect, polling, sse, webSocket, webTransport } = throughline;
  const makers = { webtransport: webTransport, websocket: webSocket, sse, polling };
  const session = connect(base, { transports: transports.map((name) => makers[name]()) });
  const listen = ({ name, transport }) => {
    if (name !== 'live' || transport !== transports[0]) return;
    stop();
    session.subscribe(channel, { from: { last: 10 } }).on('event', ({ data }) => postMessage(data));
  };
  const stop = session.on('state', listen);
};
