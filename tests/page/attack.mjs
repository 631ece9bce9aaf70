// What a page of a stranger may try. Runs in the page, so it is one function that needs nothing around it.

/** Tries one way to the gateway. Gives what came of it: 'nothing', 'absent' where the browser has no such way, or what was had. */
export async function attack({ name, base, admin, hashes }) {
  const hello = '{"type":"hello","version":0,"instance":"stranger","attach":1}';
  const publish = '{"channel":"news","data":1}';
  const client = (path) => new URL(path, base).href;
  const api = (path) => new URL(path, admin).href;
  const text = { 'content-type': 'text/plain' };
  const json = { 'content-type': 'application/json' };

  /** A request whose answer may not be read, or is a refusal: a page under a rebound name reads that it is refused. */
  const ask = async (url, { method = 'POST', headers = {}, body, mode } = {}) => {
    try {
      const response = await fetch(url, { method, headers, body, mode, credentials: 'include' });
      if (response.type === 'opaque') return 'nothing';
      const said = await response.text();
      const isRefusal = response.status === 403 && said.includes('origin_refused') && !said.includes('welcome');
      return isRefusal && new URL(url).origin === location.origin ? 'nothing' : `${response.status} ${said}`;
    } catch {
      return 'nothing';
    }
  };

  const ways = {
    websocket: () => new Promise((done) => {
      const socket = new WebSocket(client('v1/websocket').replace('http', 'ws'), 'throughline.v1.json');
      socket.onopen = () => done('open');
      socket.onmessage = ({ data }) => done(data);
      socket.onclose = () => done('nothing');
    }),
    poll: () => ask(client('v1/poll'), { headers: text, body: hello }),
    'poll unread': () => ask(client('v1/poll'), { headers: text, body: hello, mode: 'no-cors' }),
    send: () => ask(client('v1/send'), { headers: text, body: '{"type":"session","token":"x","incarnation":1,"link":1}' }),
    'send unread': () => ask(client('v1/send'), { headers: text, body: '{}', mode: 'no-cors' }),
    'events by fetch': () => ask(client('v1/events'), { headers: text, body: hello }),
    'events by EventSource': () => new Promise((done) => {
      const stream = new EventSource(client('v1/events?channel=news'), { withCredentials: true });
      stream.onmessage = ({ data }) => done(data);
      stream.onopen = () => done('open');
      stream.onerror = () => {
        stream.close();
        done('nothing');
      };
    }),
    'events as an image': () => new Promise((done) => {
      const image = new Image();
      image.onload = () => done('an image');
      image.onerror = () => done('nothing');
      image.src = client('v1/events?channel=news');
    }),
    tickets: () => ask(client('v1/tickets'), { headers: text, body: '{}' }),
    negotiate: () => ask(client('v1/negotiate'), { method: 'GET' }),
    webtransport: async () => {
      if (typeof WebTransport !== 'function') return 'absent';
      const url = new URL(client('v1/webtransport'));
      url.protocol = 'https:';
      const bytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
      const serverCertificateHashes = hashes.map((hash) => ({ algorithm: 'sha-256', value: bytes(hash) }));
      let heard = '';
      try {
        const session = new WebTransport(url, { serverCertificateHashes, protocols: ['throughline.v1.json'] });
        session.closed.catch(() => {});
        await session.ready;
        const { readable, writable } = await session.createBidirectionalStream();
        await writable.getWriter().write(new TextEncoder().encode(`${hello}\n`));
        for await (const piece of readable.pipeThrough(new TextDecoderStream())) heard += piece;
      } catch {
        // Closed from the other side.
      }
      // A page is not shown the status of a handshake, so this refusal is readable, and nothing else is.
      const frames = heard.split('\n').filter(Boolean).map((line) => JSON.parse(line));
      const isRefusal = ({ type, code, reason }) => code === 'origin_refused' || (type === 'retry' && reason === 'forbidden');
      return frames.every(isRefusal) ? 'nothing' : heard;
    },
    publish: () => ask(api('api/v1/publish'), { headers: json, body: publish }),
    'publish unread': () => ask(api('api/v1/publish'), { headers: text, body: publish, mode: 'no-cors' }),
    'application ticket': () => ask(api('api/v1/tickets'), { headers: json, body: '{"user":"root"}' }),
    sessions: () => ask(api('api/v1/sessions'), { method: 'GET' }),
    history: () => ask(api('api/v1/channels/news/history'), { method: 'GET' }),
    metrics: () => ask(api('metrics'), { method: 'GET' }),
  };
  return ways[name]();
}
