// Which transport, and why: what the gateway offers and the browser has, what was tried, and how it went.
//
// A small mirror of docs/negotiation.md. A poll works everywhere, so it goes first. What is better is tried beside it, and
// takes over once something has come down it. What failed rests before it is tried again, twice as long each time.

const REST_MS = 5_000;
const LONGEST_REST_MS = 60_000;
const SETTLED_MS = 30_000; // a link that lived for this long has made up for its failures
const ATTEMPTS = 20; // what is kept to be shown
const UNTOLD = 16; // and to be told
const FAILURES = new Set(['refused', 'hung', 'blocked', 'silent', 'buffered', 'lost']);

class Choice {
  wanted = 'auto';
  asked = []; // what the gateway asked for by `migrate`
  resting = new Map(); // name -> {failures, until}
  attempts = []; // newest first: {name, outcome, tookMs, at}
  untold = [];
  offers = new Map(); // name -> offer, best first

  constructor() {
    this.offered([{ name: 'websocket' }, { name: 'sse' }, { name: 'polling' }]); // until the first welcome says more
  }

  /** The gateway says what it offers. One that names nothing has said nothing. */
  offered(transports) {
    if (transports.length === 0) return;
    const isNews = transports.some(({ name }) => !this.offers.has(name));
    this.offers = new Map(transports.map((offer) => [offer.name, offer]));
    const missing = isNews ? [...this.offers.keys()].filter((name) => this.whyNot(name)) : [];
    for (const name of missing) this.note({ name, beganAt: Date.now() }, 'unsupported');
  }

  /** The gateway asks for one of these, and may say where it is now. */
  ask(transports) {
    this.asked = transports.map(({ name }) => name);
    for (const offer of transports) if (offer.url) this.offers.set(offer.name, offer);
  }

  /** Wants this one, or the best (`auto`). Whoever picks one wants it now. */
  pick(transport) {
    this.wanted = transport;
    this.resting.clear();
  }

  /** Why a transport cannot be had; null where it can. */
  whyNot(name) {
    if (!this.offers.has(name)) return 'not offered';
    if (!(name in LINKS)) return 'not known here';
    if (name !== 'webtransport' || 'WebTransport' in window) return null;
    return isSecureContext ? 'not in this browser' : 'needs https';
  }

  /** All that would be preferred to a transport, best first. */
  preferred(to) {
    const order = this.wanted === 'auto' ? [...new Set([...this.asked, ...this.offers.keys()])] : [this.wanted];
    const place = order.indexOf(to);
    return order.slice(0, place < 0 ? order.length : place).filter((name) => !this.whyNot(name));
  }

  /** What is to be tried now beside a link that works; an event stream only where nothing better is left to try. */
  better(than) {
    const now = Date.now();
    const ready = this.preferred(than).filter((name) => !(this.resting.get(name)?.until > now));
    return ready.filter((name, place) => name !== 'sse' || place === 0);
  }

  /** Notes how a use of a transport went. A link that works for long is forgiven, one that fails rests. */
  note({ name, beganAt, provedAt, isCut }, outcome) {
    const at = Date.now();
    const livedMs = provedAt ? at - provedAt : 0;
    if (livedMs > SETTLED_MS) this.resting.delete(name);
    const isBlamed = FAILURES.has(outcome) && !isCut && (outcome === 'silent' || livedMs < SETTLED_MS);
    if (isBlamed && name !== 'polling') this.rest(name);
    const attempt = { name, outcome, at, tookMs: provedAt && outcome !== 'proven' ? livedMs : at - beganAt };
    this.attempts = [attempt, ...this.attempts].slice(0, ATTEMPTS);
    this.untold = [...this.untold, attempt].slice(-UNTOLD);
  }

  rest(name) {
    const failures = (this.resting.get(name)?.failures ?? 0) + 1;
    const longest = Math.min(LONGEST_REST_MS, REST_MS * 2 ** (failures - 1));
    this.resting.set(name, { failures, until: Date.now() + longest * (0.75 + Math.random() / 4) });
  }

  /** What the gateway has not heard of, as frames; each is told once. */
  tell() {
    const [told, now] = [this.untold, Date.now()];
    this.untold = [];
    return told.map(({ name, outcome, tookMs, at }) => ({ type: 'tried', transport: name, outcome, tookMs, agoMs: now - at }));
  }

  /** How the last use of a transport ended, if it ended. */
  last(name) {
    return this.attempts.find((attempt) => attempt.name === name && attempt.outcome !== 'proven')?.outcome;
  }
}
