// The TypeScript client, made from clients/js/src by `cargo xtask client`. Change it there, and make this anew.
var throughline = (() => {
  var __defProp = Object.defineProperty;
  var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
  var __getOwnPropNames = Object.getOwnPropertyNames;
  var __hasOwnProp = Object.prototype.hasOwnProperty;
  var __export = (target, all) => {
    for (var name in all)
      __defProp(target, name, { get: all[name], enumerable: true });
  };
  var __copyProps = (to, from, except, desc) => {
    if (from && typeof from === "object" || typeof from === "function") {
      for (let key of __getOwnPropNames(from))
        if (!__hasOwnProp.call(to, key) && key !== except)
          __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
    }
    return to;
  };
  var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

  // entries
  var entries_exports = {};
  __export(entries_exports, {
    NotMigrated: () => NotMigrated,
    OutcomeUnknown: () => OutcomeUnknown,
    Rejected: () => Rejected,
    SessionClosed: () => SessionClosed,
    ThroughlineError: () => ThroughlineError,
    bincode: () => bincode,
    connect: () => connect,
    json: () => json,
    optimistic: () => optimistic,
    polling: () => polling,
    sse: () => sse,
    webSocket: () => webSocket,
    webTransport: () => webTransport
  });

  // src/browser/environment.ts
  function attend(environment, base, keeper2, change) {
    const networkChanged2 = () => change((core, nowMs) => core.handleNetworkChanged(nowMs));
    return environment.watch(base, {
      networkChanged: networkChanged2,
      hidden: (isHidden) => change((core, nowMs) => core.handleHidden(nowMs, isHidden)),
      offline: () => change((core, nowMs) => core.handleOffline(nowMs)),
      frozen: () => change((core, nowMs) => core.handleFrozen(nowMs)),
      // Nothing is said: a reload keeps the session. What waits goes out with the turn that ends this task.
      left: () => {
        keeper2.leave();
        change(() => {
        });
      },
      // Where it is not online, it stays frozen until it is.
      cameBack: (isOnline) => void keeper2.comeBack().then(() => isOnline && networkChanged2())
    });
  }
  var LOOK_MS = 1e4;
  var LATE_SEEN_MS = 5e3;
  var LATE_HIDDEN_MS = 75e3;
  function platform(clock, globals = globalThis) {
    const { document: document2, navigator: navigator2, PerformanceObserver } = globals;
    return {
      watch(base, told3) {
        if (!globals.addEventListener) return () => {
        };
        const stop2 = new AbortController();
        const on = (target, name, listener) => {
          target?.addEventListener?.(name, listener, { signal: stop2.signal });
        };
        const isOnline = () => navigator2?.onLine !== false || LOOPBACK.test(base.hostname);
        const networkChanged2 = () => isOnline() ? told3.networkChanged() : told3.offline();
        let isFew = base.protocol === "http:";
        let wasHidden = false;
        const tellHidden = () => {
          const isHidden = isFew && !!document2?.hidden;
          if (isHidden !== wasHidden) told3.hidden(isHidden);
          wasHidden = isHidden;
        };
        if (document2 && PerformanceObserver) {
          const observer = new PerformanceObserver((list) => {
            for (const { name, nextHopProtocol } of list.getEntries()) {
              if (nextHopProtocol && name.startsWith(`${base.href}v1/`)) isFew = nextHopProtocol.startsWith("http/1");
            }
            tellHidden();
          });
          observer.observe({ type: "resource", buffered: true });
          stop2.signal.addEventListener("abort", () => observer.disconnect());
        }
        let isAway = false;
        on(globals, "pagehide", (event) => {
          isAway = true;
          told3.left();
          if (isPersisted(event)) told3.frozen();
        });
        on(globals, "pageshow", (event) => {
          if (!isPersisted(event)) return;
          isAway = false;
          watchSleep();
          told3.cameBack(isOnline());
        });
        on(document2, "freeze", () => !isAway && told3.frozen());
        on(document2, "resume", () => !isAway && networkChanged2());
        let lookedMs = 0;
        let wasUnseen = true;
        let cancel = () => {
        };
        const watchSleep = () => {
          lookedMs = clock.wall();
          wasUnseen = document2?.hidden ?? true;
          cancel();
          cancel = clock.after(LOOK_MS, look);
        };
        const look = () => {
          const isLate = clock.wall() - lookedMs > LOOK_MS + (wasUnseen ? LATE_HIDDEN_MS : LATE_SEEN_MS);
          watchSleep();
          if (isLate && !isAway) networkChanged2();
        };
        on(document2, "visibilitychange", () => {
          if (document2?.hidden) wasUnseen = true;
          else look();
          tellHidden();
        });
        on(globals, "offline", () => told3.offline());
        on(globals, "online", networkChanged2);
        const connection = navigator2?.connection;
        let way = connection?.type;
        on(connection, "change", () => {
          if (connection?.type !== way) networkChanged2();
          way = connection?.type;
        });
        watchSleep();
        tellHidden();
        if (!isOnline()) told3.offline();
        return () => {
          stop2.abort();
          cancel();
        };
      }
    };
  }
  var LOOPBACK = /^(localhost|127\..*|\[::1])$/;
  var isPersisted = (event) => event.persisted;

  // src/codec/fault.ts
  function fail(code, what = "") {
    const fault = new Error(`${code} ${what}`);
    fault.code = code;
    throw fault;
  }
  function reading(read5) {
    const frames = [];
    try {
      read5(frames);
      return { frames };
    } catch (error) {
      const { code = MALFORMED, message } = error;
      return { frames, fault: { code, message } };
    }
  }
  var MALFORMED = "malformed_frame";
  var TOO_LARGE = "message_too_large";

  // src/codec/text.ts
  var FRAME_BYTES = 1 << 20;
  var utf8 = /* @__PURE__ */ new TextEncoder();
  var strict = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  var bytesOf = (text2) => utf8.encode(text2);
  function textOf(bytes) {
    try {
      return strict.decode(bytes);
    } catch {
      fail("not_utf8");
    }
  }
  var fits = (text2, most) => text2.length * 3 <= most || bytesOf(text2).length <= most;
  function parse(json2) {
    const value = JSON.parse(json2);
    if (hasHalf.test(json2) && hasHalf.test(JSON.stringify(value))) fail("lone_surrogate");
    return value;
  }
  var hasHalf = /(^|[^\\])(\\\\)*\\ud[89a-f]/i;
  function base64Of(bytes) {
    let text2 = "";
    for (const byte of bytes) text2 += String.fromCharCode(byte);
    return btoa(text2);
  }
  var fromBase64 = (text2) => Uint8Array.from(atob(text2), (letter) => letter.charCodeAt(0));

  // src/browser/record.ts
  var VERSION = 1;
  function write(saved, isLeft) {
    return JSON.stringify({ version: VERSION, isLeft, saved }, (_, member2) => {
      return member2 instanceof Uint8Array ? base64Of(member2) : member2;
    });
  }
  function read(text2) {
    try {
      const { version, isLeft, saved } = JSON.parse(text2);
      if (version !== VERSION || typeof isLeft !== "boolean") return void 0;
      const { session, token, incarnation, user, attach, after, low, commands, said, unkept, atMs } = saved;
      const isWhole = [session, token].every(isText) && [incarnation, attach, after, low, said].every(isCount) && Number.isFinite(atMs) && (user === void 0 || isText(user)) && Array.isArray(unkept) && unkept.every(isCount) && Array.isArray(commands) && commands.every(isCommand);
      return isWhole ? { isLeft, saved: { ...saved, commands: commands.map(withBytes) } } : void 0;
    } catch {
      return void 0;
    }
  }
  var isText = (member2) => typeof member2 === "string" && member2 !== "";
  var isCount = (member2) => Number.isSafeInteger(member2) && member2 >= 0;
  function isCommand(command2) {
    return command2?.type === "noop" || command2?.type === "send" && isText(command2.channel);
  }
  function withBytes(command2) {
    const { bytes } = command2;
    return bytes === void 0 ? command2 : { ...command2, bytes: fromBase64(bytes) };
  }

  // src/browser/reload.ts
  var HANDOVER_MS = 500;
  function keeper({ keep, name, base, clock, tab }) {
    if (keep === "never") return forgetful("not kept: the application does not want it");
    try {
      const found = tab ?? thisTab();
      if (found) return new TabKeeper(`throughline:${name}:${base.href}`, found, clock);
      return forgetful("not kept: this is no page");
    } catch (error) {
      return forgetful(refused(error));
    }
  }
  function thisTab() {
    if (typeof document === "undefined" || typeof sessionStorage === "undefined") return void 0;
    return { storage: sessionStorage, locks: navigator.locks };
  }
  function forgetful(status) {
    return { status, take: async () => void 0, keep() {
    }, leave() {
    }, comeBack: async () => {
    } };
  }
  var TabKeeper = class {
    status = "kept in this tab";
    #key;
    #tab;
    #clock;
    #last;
    /** What was written last; nothing where nothing is kept. */
    #text;
    #isAway = false;
    /** The session that went on elsewhere. */
    #disowned;
    #isOff = false;
    #release = () => {
    };
    constructor(key, tab, clock) {
      this.#key = key;
      this.#tab = tab;
      this.#clock = clock;
    }
    async take() {
      const text2 = this.#touch((storage) => storage.getItem(this.#key));
      if (typeof text2 !== "string") return void 0;
      const record = read(text2);
      if (!record || !(this.#tab.locks ? await this.#lock(record.saved.session, record.isLeft ? HANDOVER_MS : 0) : record.isLeft)) {
        this.#store(void 0);
        return void 0;
      }
      this.#last = record.saved;
      this.#store(record.saved);
      return record.saved;
    }
    keep(saved) {
      if (saved === this.#last || this.#isOff) return;
      const before = this.#last?.session;
      this.#last = saved;
      const session = saved?.session;
      if (session !== before) this.#release();
      if (session !== void 0 && session === this.#disowned) return;
      if (session !== void 0 && session !== before) void this.#lock(session, Infinity);
      if (saved || this.#isOurs()) this.#store(saved);
    }
    leave() {
      this.#isAway = true;
      if (this.#isOurs()) this.#store(this.#last);
      this.#release();
    }
    async comeBack() {
      this.#isAway = false;
      const session = this.#last?.session;
      if (session === void 0 || this.#isOff) return;
      if (this.#isOurs() && (!this.#tab.locks || await this.#lock(session, HANDOVER_MS))) this.#store(this.#last);
      else this.#disowned = session;
    }
    /** Whether the record is still the one that this page wrote. */
    #isOurs() {
      return this.#text !== void 0 && this.#touch((storage) => storage.getItem(this.#key)) === this.#text;
    }
    #store(saved) {
      const text2 = saved && write(saved, this.#isAway);
      this.#text = text2;
      this.#touch((storage) => text2 === void 0 ? storage.removeItem(this.#key) : storage.setItem(this.#key, text2));
    }
    /** Storage may refuse whatever it is asked: then keeping is over. */
    #touch(what) {
      const { storage } = this.#tab;
      try {
        return this.#isOff ? void 0 : what(storage);
      } catch (error) {
        this.#isOff = true;
        this.status = refused(error);
        this.#release();
        try {
          storage.removeItem(this.#key);
        } catch {
        }
        return void 0;
      }
    }
    /** Takes the lock of a session, if it is to be had in time, and holds it until it is released. Returns whether it is held. */
    #lock(session, waitMs) {
      const { locks } = this.#tab;
      if (!locks) return Promise.resolve(false);
      return new Promise((resolve) => {
        const late = new AbortController();
        const cancel = Number.isFinite(waitMs) ? this.#clock.after(waitMs, () => late.abort()) : () => {
        };
        const granted = async (lock) => {
          cancel();
          resolve(!!lock);
          if (lock) await new Promise((release) => this.#release = release);
        };
        const options = waitMs ? { signal: late.signal } : { ifAvailable: true };
        locks.request(`throughline:${session}`, options, granted).catch(() => resolve(false));
      });
    }
  };
  function refused(error) {
    return `not kept: the storage refused it (${error instanceof Error ? error.name : String(error)})`;
  }

  // src/browser/verdict.ts
  function verdictStore(base, storage = thisOrigin) {
    const key = `throughline:verdict:${base.href}`;
    let memory;
    return {
      load() {
        const text2 = attempt(() => storage()?.getItem(key));
        return text2 ? attempt(() => check(JSON.parse(text2))) : memory;
      },
      save(verdict) {
        memory = verdict;
        attempt(() => verdict ? storage()?.setItem(key, JSON.stringify(verdict)) : storage()?.removeItem(key));
      }
    };
  }
  function thisOrigin() {
    return typeof document === "undefined" ? void 0 : localStorage;
  }
  function attempt(what) {
    try {
      return what();
    } catch {
      return void 0;
    }
  }
  function check(verdict) {
    const { transport, atMs, offer } = verdict;
    const { name, url, certificateHashes } = offer ?? { name: "" };
    const isWhole = typeof transport === "string" && typeof atMs === "number" && typeof name === "string" && (url === void 0 || typeof url === "string") && (certificateHashes === void 0 || Array.isArray(certificateHashes) && certificateHashes.every((hash) => typeof hash === "string"));
    return isWhole ? verdict : void 0;
  }

  // src/clock.ts
  var LONGEST_MS = 2 ** 31 - 1;
  var systemClock = {
    now: () => performance.now(),
    wall: () => Date.now(),
    after(ms, then) {
      const timer = setTimeout(then, Math.min(Math.max(0, ms), LONGEST_MS));
      return () => clearTimeout(timer);
    }
  };

  // src/codec/schema.ts
  var DOWN = /* @__PURE__ */ table(`welcome session:s token:t8192 incarnation:i link:i resumed:f reason?:t64
  next:i received:i user?:t256 time:i heartbeatMs:i resumeWindowMs:i windowMs:i backoff:backoff authExpiresInMs?:i
  limits?:limits transports?:offer*16 features?:t64*32
items first:i items:item*4096 ack?:i
ack upTo:i
retry delayMs:i spreadMs:i reason:t64 slot?:t1024 transports?:offer*16 final~:f
migrate transports:offer*16 delayMs:i spreadMs:i
volatile channel:c name?:t200 time:i seq:i sender?:sender data?:d bytes?:b
error code:t64 message:t1024 command?:i fatal:f
ping nonce?:i windowMs?:i
pong nonce?:i windowMs?:i`);
  var ITEMS = /* @__PURE__ */ table(`event channel:c offset:i time:i name?:t200 key?:t200 sender?:sender
  meta~:m data?:d bytes?:b
reply command:i ok:f position?:position data?:d bytes?:b error?:failure
subscribed channel:c command?:i position:position recovered:f
unsubscribed channel:c command?:i reason:t64
gap channel?:c from?:position to:position exact:f reason:t64
presence channel:c kind:k members:member*4096 count:i`);
  var OBJECTS = /* @__PURE__ */ table(`position epoch:e offset:i
sender user?:t256 session:s
member session:s user?:t256 info?:j
offer name:t64 url?:t1024 certificateHashes~:t64*16
backoff baseMs:i capMs:i
limits messageBytes:i commandsAhead:i unacknowledgedItems:i unacknowledgedBytes:i subscriptions:i commandsPerSecond:i
failure code:t64 message:t1024 retryable:f`);
  var KINDS = ["state", "join", "leave"];
  function table(lines2) {
    return new Map(
      lines2.split(/\n(?! )/).map((line) => {
        const [type = "", ...members] = line.split(/\s+/);
        return [type, members.map(member)];
      })
    );
  }
  function member(text2) {
    const [, name = "", mark = "", kind = "", most, list] = /(\w+)(\W?):([a-z]+)(\d*)\*?(\d*)/.exec(text2) ?? [];
    return { name, mark, kind, most: Number(most), list: Number(list) };
  }
  function scalar({ name, kind, most }, value) {
    if (typeof value !== ({ i: "number", f: "boolean" }[kind] ?? "string")) fail(MALFORMED, name);
    if (kind === "i" && !(Number.isSafeInteger(value) && value >= 0)) fail("number_out_of_range", name);
    const [rule, code = ""] = RULES[kind] ?? [];
    if (rule && !rule.test(value)) fail(code, name);
    if (kind === "t" && !fits(value, most)) fail(TOO_LARGE, name);
    return value;
  }
  var RULES = {
    c: [/^[\w.~:@$=-]{1,200}$/, "invalid_channel"],
    e: [/^[!-~]{1,32}$/, "invalid_position"],
    s: [/^[\w-]{21}[AQgw]$/, MALFORMED]
  };
  function meta(entries) {
    let bytes = 0;
    for (const [name, value] of entries) {
      if (typeof value !== "string") fail(MALFORMED, name);
      if (!/^[a-z0-9-]{1,32}$/.test(name)) fail("invalid_meta", name);
      bytes += name.length + bytesOf(value).length;
    }
    if (entries.length > 16 || bytes > 1024) fail("invalid_meta");
    return Object.fromEntries(entries);
  }
  function settled(item) {
    const { type, ok, error, position, kind, bytes } = item;
    const isWrong = ok ? error : !(error && !position && !bytes) || "data" in item;
    if (type === "reply" && isWrong) fail(MALFORMED, type);
    return type === "presence" && !KINDS.includes(kind) ? { type: "unknown" } : item;
  }

  // src/codec/json.ts
  var json = () => ({
    name: "throughline.v1.json",
    mediaType: "text/plain",
    encode: (frames) => frames.map((frame) => `${JSON.stringify(plain(frame))}
`).join(""),
    decode: (message) => reading((frames) => {
      for (const line of (typeof message === "string" ? message : textOf(message)).split("\n")) readLine(line, frames);
    })
  });
  function readLine(line, frames) {
    if (!/[^ \t]/.test(line)) return;
    if (!fits(line, FRAME_BYTES)) fail(TOO_LARGE, "frame");
    const frame = object(parse(line));
    const type = scalar(TYPE, frame.type);
    if (type.startsWith("x-")) return;
    const members = DOWN.get(type) ?? fail("unknown_frame", type);
    frames.push({ type, ...read2(members, frame) });
  }
  var TYPE = { name: "type", mark: "", kind: "", most: 0, list: 0 };
  function object(value) {
    if (typeof value !== "object" || !value || Array.isArray(value)) fail(MALFORMED);
    return value;
  }
  function read2(members, from) {
    const fields = {};
    for (const member2 of members) {
      const { name, mark, list } = member2;
      const value = from[name];
      if (value === void 0) {
        if (!mark) fail(MALFORMED, name);
      } else if (list) {
        if (!Array.isArray(value)) fail(MALFORMED, name);
        if (value.length > list) fail(TOO_LARGE, name);
        fields[name] = value.map((entry) => readValue(member2, entry));
      } else {
        fields[name] = readValue(member2, value);
      }
    }
    if (fields.bytes && "data" in fields) fail("malformed_payload");
    return fields;
  }
  function readValue(member2, value) {
    const { kind, name } = member2;
    const members = OBJECTS.get(kind);
    if (members) return read2(members, object(value));
    if (kind === "item") {
      const entry = object(value);
      const type = scalar(TYPE, entry.type);
      const members2 = ITEMS.get(type);
      return members2 ? settled({ type, ...read2(members2, entry) }) : { type: "unknown" };
    }
    switch (kind) {
      case "d":
        return value;
      case "j":
        return fits(JSON.stringify(value), 1024) ? value : fail(TOO_LARGE, name);
      case "b":
        return readBytes(scalar(member2, value));
      case "m":
        return meta(Object.entries(object(value)));
      default:
        return scalar(member2, value);
    }
  }
  function readBytes(text2) {
    try {
      const bytes = fromBase64(text2);
      if (base64Of(bytes) === text2) return bytes;
    } catch {
    }
    return fail("malformed_payload");
  }
  var plain = ({ type, ...said }) => ({
    type,
    ...said,
    ...said.bytes && { bytes: base64Of(said.bytes) },
    ...said.items && { items: said.items.map(plain) }
  });

  // src/core/inbox.ts
  var HINTS = 64;
  var MOST_BESIDE = 8192;
  var LARGEST_BYTES = 1048576;
  var OVERRATED = 16;
  var Inbox = class {
    /** The last item that came. */
    received = 0;
    /** The place in each channel, after every item that came. */
    positions = /* @__PURE__ */ new Map();
    /** The weight of all payloads that came, in bytes or nearly. */
    bytes = 0;
    /** The oldest item that the application has not taken out of its own queues. */
    held;
    #queue = [];
    /** `bytes` before each of the last items that came: of all that are not taken, at least. */
    #before = [];
    /** The last item that may be acknowledged: the application has it and all before it, or need not see them. */
    get taken() {
      const oldest = this.#queue.find((waiting) => waiting.number > 0)?.number ?? Infinity;
      return Math.min(this.received, oldest - 1, (this.held ?? Infinity) - 1);
    }
    /** Whether the application is behind with items. */
    get isBehind() {
      return this.taken < this.received;
    }
    /** Whether more waits for the application than these windows let through, however it is counted. */
    isFlooded({ unacknowledgedItems, unacknowledgedBytes }) {
      const count = this.received - this.taken;
      this.#before = count ? this.#before.slice(-count) : [];
      const bytes = this.bytes - (this.#before[0] ?? this.bytes);
      return count > 2 * unacknowledgedItems + MOST_BESIDE || bytes > OVERRATED * (unacknowledgedBytes + LARGEST_BYTES);
    }
    /** Counts the next item, moves positions, and queues what the application has to see. */
    take(item, isQuiet) {
      const number = ++this.received;
      this.#before.push(this.bytes);
      const incoming = this.#follow(number, item);
      if (incoming && !isQuiet) this.#queue.push({ incoming, number });
    }
    #follow(number, item) {
      const { positions } = this;
      switch (item.type) {
        case "event": {
          const epoch = positions.get(item.channel)?.epoch;
          if (epoch !== void 0) positions.set(item.channel, { epoch, offset: item.offset });
          this.bytes += item.bytes ? item.bytes.length : weigh(item.data);
          return { hear: "event", number, epoch, item };
        }
        case "subscribed":
          positions.set(item.channel, item.position);
          return { hear: "subscribed", number, item };
        case "unsubscribed":
          positions.delete(item.channel);
          return { hear: "unsubscribed", number, item };
        case "gap":
          if (item.channel !== void 0 && positions.has(item.channel)) positions.set(item.channel, item.to);
          return { hear: "gap", number, item };
        case "presence":
          return { hear: "presence", number, item };
        default:
          return void 0;
      }
    }
    /** Queues something that is no item; what need not be heard is dropped while the application has enough to do. */
    note(incoming) {
      if (incoming.hear !== "volatile" || this.#queue.length < HINTS) this.#queue.push({ incoming, number: 0 });
    }
    /** What the application hears next. */
    poll() {
      return this.#queue.shift()?.incoming;
    }
    /** Another session begins: numbers from 1, nothing subscribed yet, and what is still held is not one of its items. */
    beginAnew() {
      this.received = 0;
      this.held = void 0;
      for (const waiting of this.#queue) waiting.number = 0;
    }
  };
  function weigh(data) {
    if (typeof data === "string") return data.length + 2;
    if (typeof data !== "object" || !data) return 5;
    let bytes = 2;
    for (const [name, member2] of Object.entries(data)) bytes += name.length + 4 + weigh(member2);
    return bytes;
  }

  // src/core/negotiation/candidates.ts
  var VALID_MS = 24 * 60 * 60 * 1e3;
  var Candidates = class {
    /** What the application asked for by name. */
    pinned;
    /** What the gateway asked for, in its order; nothing undoes it but another such word, or another session. */
    asked = [];
    /** In the application's order. */
    #listed;
    #isSecure;
    /** `isSecure` says whether the gateway is called by `https`, so that WebTransport needs no offer. */
    constructor(transports, isSecure) {
      const there = transports.filter(({ missing }) => missing === void 0);
      this.#listed = (there.length ? there : transports).map(({ name, isDuplex }) => {
        return { name, isDuplex, offer: void 0, failures: 0, notBeforeMs: 0 };
      });
      this.#isSecure = isSecure;
    }
    of(transport) {
      return this.#listed.find(({ name }) => name === transport);
    }
    /** What may be tried, best first: what the application asked for, what the gateway asked for, what is listed. */
    order() {
      const order = new Set([...this.asked, ...this.#listed].filter((candidate) => this.#mayTry(candidate)));
      const { pinned } = this;
      if (pinned) return [.../* @__PURE__ */ new Set([pinned, ...order])];
      return order.size ? [...order] : this.#listed;
    }
    /** Long-polling, where it may be used. */
    polling() {
      return this.order().find(isPolling);
    }
    /** The gateway says what is on offer. Returns what was listed and is not. */
    offerAll(offers) {
      if (!offers.length) return [];
      const before = this.#listed.filter(({ offer }) => offer !== null);
      for (const candidate of this.#listed) candidate.offer = offers.find(({ name }) => name === candidate.name) ?? null;
      return before.filter(({ offer }) => !offer);
    }
    /** What worked before, with where it was: nothing where that is too long ago, or lies in the future of a clock that was set back. */
    remembered({ transport, offer, atMs }, wallMs2) {
      if (atMs > wallMs2 || wallMs2 >= atMs + VALID_MS) return void 0;
      if (offer) this.recall(offer);
      return this.of(transport);
    }
    /** An offer that is remembered from an earlier session, or came beside the list. */
    recall(offer) {
      const candidate = this.of(offer.name);
      if (candidate) candidate.offer = offer;
    }
    /** The network is another one: nothing that was learnt of it holds any more. */
    forgiveAll() {
      this.#listed.forEach(forgive);
    }
    #mayTry({ name, offer }) {
      return offer === void 0 ? name !== "webtransport" || this.#isSecure : offer !== null;
    }
  };
  function isPolling({ name }) {
    return name === "polling";
  }
  function blame(candidate, nowMs, { reprobeMs, reprobeCapMs }, random) {
    const waitMs = Math.min(reprobeMs * 2 ** candidate.failures++, Math.max(reprobeMs, reprobeCapMs));
    candidate.notBeforeMs = nowMs + waitMs - Math.floor(random() * waitMs / 4);
  }
  function forgive(candidate) {
    candidate.failures = candidate.notBeforeMs = 0;
  }

  // src/core/negotiation/use.ts
  var BEGUN = 0;
  var OPENED = 1;
  var GREETED = 2;
  var WELCOMED = 3;
  var UP = 4;
  function reach(used, reached, nowMs) {
    used.reached = reached;
    used.atMs = nowMs;
  }
  function expiresAt({ carries, reached, atMs }, { probeMs, staggerMs }) {
    if (carries || reached === OPENED || reached === UP) return Infinity;
    return atMs + probeMs + (reached === BEGUN ? staggerMs : 0);
  }
  function busyUntil({ candidate, reached, atMs, handshakeMs }, { staggerMs }) {
    return reached < UP && !isPolling(candidate) ? atMs + Math.max(staggerMs, handshakeMs) : -Infinity;
  }
  function expiry({ reached, candidate }) {
    if (reached === BEGUN) return candidate.name === "webtransport" ? "blocked" : "hung";
    return reached === WELCOMED ? "buffered" : "silent";
  }
  function replaced({ link, candidate: { name } }, isHedged, isAsked) {
    if (isHedged) {
      return { link, outcome: "silent", reason: "what was due did not come, and a poll was answered", why: `${name} fell silent` };
    }
    if (isAsked) return { link, outcome: "drained", reason: "the gateway asked for the move", why: "the gateway asked for it" };
    return { link, outcome: "preferred", reason: "another is preferred", why: `it is proven, and preferred to ${name}` };
  }
  function isBlamed({ candidate, reached, carries }, outcome, isSettled) {
    if (isPolling(candidate) || ["late", "preferred", "proven", "unsupported"].includes(outcome)) return false;
    if (reached !== UP) return !carries;
    return outcome === "silent" || outcome !== "drained" && !isSettled;
  }

  // src/core/negotiation/decision.ts
  function greet(nowMs, used, attach) {
    reach(used, GREETED, nowMs);
    used.carries = attach;
    return { do: "greet", link: used.link, attach };
  }
  function drop({ link }, outcome) {
    return { do: "drop", link, outcome };
  }

  // src/core/negotiation/history.ts
  var KEPT = 32;
  var UNTOLD = 16;
  var History = class {
    #attempts = [];
    #untold = 0;
    /** All that is kept, oldest first. A new array whenever something is noted. */
    get attempts() {
      return this.#attempts;
    }
    /** Notes how an attempt went. */
    note(nowMs, transport, outcome, tookMs, reason) {
      this.#attempts = [...this.#attempts, { transport, outcome, reason, tookMs, atMs: nowMs }].slice(-KEPT);
      this.#untold = Math.min(this.#untold + 1, UNTOLD);
    }
    /** Whether the gateway has not heard of something. */
    get hasUntold() {
      return this.#untold > 0;
    }
    /** What the gateway has not heard of; it is told once. */
    tell(nowMs) {
      const untold = this.#untold ? this.#attempts.slice(-this.#untold) : [];
      this.#untold = 0;
      return untold.map(({ transport, outcome, tookMs, atMs }) => ({
        type: "tried",
        transport,
        outcome,
        tookMs: whole(tookMs),
        agoMs: whole(nowMs - atMs)
      }));
    }
  };
  function whole(ms) {
    return Math.max(0, Math.round(ms));
  }

  // src/core/negotiation/opening.ts
  function nextInTurn(candidates, negotiates, carried, rotation) {
    const first = negotiates ? [carried?.failures ? void 0 : carried, candidates.polling()] : [carried];
    const turns = /* @__PURE__ */ new Set([...first, ...candidates.order()]);
    turns.delete(void 0);
    return [...turns][rotation % turns.size];
  }

  // src/core/negotiation/pace.ts
  var LONGEST_MS2 = 5e3;
  var Pace = class {
    #smoothedMs;
    #variationMs = 0;
    /** Something was answered at once, after this time. */
    measure(tookMs) {
      const smoothed = this.#smoothedMs;
      if (smoothed === void 0) {
        this.#smoothedMs = tookMs;
        this.#variationMs = tookMs / 2;
      } else {
        this.#variationMs = (3 * this.#variationMs + Math.abs(smoothed - tookMs)) / 4;
        this.#smoothedMs = (7 * smoothed + tookMs) / 8;
      }
    }
    /** The same, where a new connection may be in it: an upper bound, worth something only while nothing better is known. */
    measureAtMost(tookMs) {
      if (tookMs < (this.#smoothedMs ?? Infinity)) this.measure(tookMs);
    }
    /** How long after it was due a sign is late, and the link is asked for one. */
    late({ doubtMs }) {
      return this.#stretched(doubtMs);
    }
    /** How long a link that was asked has to answer before it is hedged. */
    patience({ pongMs }) {
      return this.#stretched(pongMs);
    }
    /** How long a new connection may take to bring something, before another way is tried beside it. */
    silence(leastMs) {
      return Math.max(leastMs, Math.min(3 * (this.#smoothedMs ?? 0), LONGEST_MS2));
    }
    #stretched(leastMs) {
      const smoothed = this.#smoothedMs ?? 0;
      return Math.max(leastMs, Math.min(Math.max(smoothed + 4 * this.#variationMs, 1.5 * smoothed), LONGEST_MS2));
    }
  };

  // src/core/negotiation/negotiation.ts
  var Negotiation = class {
    history = new History();
    pace = new Pace();
    /** Why the session is on what it is on, for a person; empty before a link was up. */
    why = "";
    #negotiates;
    #timing;
    #random;
    #candidates;
    #uses = [];
    // At most one of the two is there. Without either nothing is wanted: waiting, closed, or closing.
    #opening;
    /** The link that carries the session. */
    #active;
    /** What carried the session last. */
    #carried;
    /** What was proven before this client was made, or has been since. */
    #verdict;
    #hasNews = false;
    /** How far down the list the next attempt looks. */
    #rotation = 0;
    #isFirst;
    #isOffline = false;
    /** The gateway asked for the next move. */
    #isAsked = false;
    /** The link that is late with something, and the one that was hedged for it. */
    #overdue;
    #hedged;
    constructor({ transports, negotiates, isSecure, timing, verdict, random, nowMs, wallMs: wallMs2 }) {
      this.#negotiates = this.#isFirst = negotiates;
      this.#timing = timing;
      this.#random = random;
      this.#candidates = new Candidates(transports, isSecure);
      for (const { name, missing } of transports) {
        if (missing !== void 0) this.history.note(nowMs, name, "unsupported", 0, missing);
      }
      this.#verdict = verdict && this.#candidates.remembered(verdict, wallMs2);
    }
    /** Whether the application listed this transport, and the platform has it. */
    isListed(transport) {
      return !!this.#candidates.of(transport);
    }
    /** What the gateway last said of a transport. */
    offer(transport) {
      return this.#candidates.of(transport)?.offer ?? void 0;
    }
    /** When a transport may be tried again: in the past where it is not left alone. */
    notBefore(transport) {
      return this.#candidates.of(transport)?.notBeforeMs ?? 0;
    }
    /** Begins a round: the session has no link, and one is due now. `windowMs` is over how long all clients that lost this gateway come back. */
    attempt(nowMs, isKnown, windowMs) {
      const isFirst = this.#isFirst && !isKnown;
      const remembered = isFirst ? this.#verdict : void 0;
      const isCold = isFirst && !remembered;
      const joinBackMs = this.#negotiates ? Math.max(this.pace.silence(this.#timing.joinBackMs), windowMs) : Infinity;
      const inTurn = nextInTurn(this.#candidates, this.#negotiates, this.#carried, this.#rotation);
      this.#isFirst = false;
      this.#active = void 0;
      this.#opening = {
        isCold,
        joinMs: isCold ? Infinity : remembered ? this.#timing.joinFirstMs : joinBackMs,
        joinsFailed: !!remembered,
        lead: isCold ? this.#candidates.polling() ?? this.#candidates.order()[0] : remembered ?? inTurn,
        hasJoined: false,
        quietSinceMs: nowMs
      };
    }
    /** The next attempt looks further down the list. */
    turn() {
      this.#rotation++;
    }
    /** Nothing is wanted until the next `attempt`. */
    rest() {
      this.#opening = this.#active = this.#overdue = this.#hedged = void 0;
    }
    /** A link was begun. */
    began(nowMs, link, transport, carries, isGreeted) {
      const candidate = this.#candidates.of(transport);
      if (!candidate) return;
      const reached = isGreeted ? GREETED : BEGUN;
      const used = { link, candidate, carries, sinceMs: nowMs, reached, atMs: nowMs, handshakeMs: 0 };
      this.#uses = [...this.#uses, used];
    }
    /** A link's handshake is done. */
    opened(nowMs, link) {
      const used = this.#of(link);
      if (used?.reached !== BEGUN) return;
      used.handshakeMs = nowMs - used.sinceMs;
      reach(used, OPENED, nowMs);
      this.heard(nowMs, link);
    }
    /** A welcome has come down a link. */
    welcomed(nowMs, link) {
      const used = this.#of(link);
      if (!used || used.reached >= WELCOMED) return;
      const tookMs = nowMs - used.atMs;
      if (isPolling(used.candidate)) this.pace.measureAtMost(tookMs);
      else if (used.handshakeMs) this.pace.measure(tookMs);
      reach(used, WELCOMED, nowMs);
    }
    /** Something was heard on a link. */
    heard(nowMs, link) {
      const used = this.#of(link);
      if (!used) return;
      if (this.#overdue === used) this.#overdue = void 0;
      if (this.#hedged === used && !this.#uses.some((other) => other !== used && other.carries)) this.#hedged = void 0;
      if (this.#opening && used.carries) this.#opening.quietSinceMs = nowMs;
    }
    /** A link carries the session, and that is confirmed: whatever carried it before is left. */
    up(nowMs, link) {
      const used = this.#of(link);
      if (!used) return;
      const tookMs = nowMs - used.sinceMs;
      reach(used, UP, nowMs);
      used.carries = true;
      const before = this.#active;
      if (before === used) return;
      this.#opening = void 0;
      this.#active = used;
      const left = before && this.#of(before.link);
      const how = left && replaced(left, left === this.#hedged, this.#isAsked);
      this.why = how?.why ?? "it was welcomed first";
      const { candidate } = used;
      this.history.note(nowMs, candidate.name, "proven", tookMs, this.why);
      this.#carried = candidate;
      this.#rotation = 0;
      for (const other of this.#uses) if (other.reached < GREETED) other.carries = false;
      if (how) this.ended(nowMs, how.link, how.outcome, how.reason);
      this.#isAsked = false;
      this.#hedged = this.#overdue = void 0;
      if (!isPolling(candidate)) this.#judge(candidate);
    }
    /** A newer link came to nothing, and an older one carries the session again. */
    fellBack(link) {
      const used = this.#of(link);
      if (!used) return;
      this.#opening = void 0;
      this.#active = used;
    }
    /** A link is over. */
    ended(nowMs, link, outcome, reason) {
      const used = this.#of(link);
      if (!used) return;
      this.#uses = this.#uses.filter((other) => other !== used);
      if (this.#overdue === used) this.#overdue = void 0;
      const { candidate } = used;
      const wasUp = used.reached === UP;
      const tookMs = nowMs - (wasUp ? used.atMs : used.sinceMs);
      const isSettled = wasUp && tookMs >= this.#timing.settledMs;
      this.history.note(nowMs, candidate.name, outcome, tookMs, reason);
      if (isSettled) forgive(candidate);
      if (outcome === "unsupported") candidate.offer = null;
      if (!isBlamed(used, outcome, isSettled)) return;
      blame(candidate, nowMs, this.#timing, this.#random);
      if (this.#verdict === candidate && outcome !== "drained") this.#judge(void 0);
    }
    /** Something that was due on the link that carries the session is late, and it did not answer when asked. */
    overdue(link) {
      this.#overdue = this.#of(link);
    }
    /** The gateway says when a transport may be tried again. */
    leaveAlone(transport, untilMs) {
      const candidate = this.#candidates.of(transport);
      if (candidate) candidate.notBeforeMs = Math.max(candidate.notBeforeMs, untilMs);
    }
    /** The gateway says what is on offer. */
    offered(nowMs, offers) {
      for (const { name } of this.#candidates.offerAll(offers)) {
        this.history.note(nowMs, name, "unsupported", 0, "the gateway does not offer it");
      }
      if (this.#verdict && offers.length) this.#hasNews = true;
    }
    /** The gateway asks for one of these. Returns which it is to be. */
    asked(offers) {
      const asked = offers.flatMap(({ name }) => this.#candidates.of(name) ?? []);
      if (!asked[0]) return void 0;
      for (const offer of offers) if (offer.url || offer.certificateHashes?.length) this.#candidates.recall(offer);
      this.#candidates.asked = asked;
      this.#isAsked = true;
      return asked[0].name;
    }
    /** The application asks for one by name, and wants to stay on it. */
    pin(transport) {
      this.#candidates.pinned = this.#candidates.of(transport);
    }
    /** Another session: what the gateway asked of the last one is over. */
    beginAnew() {
      this.#candidates.asked = [];
    }
    /** There is no network: nothing new is tried, and nothing beside a link that falls silent, before it has changed. */
    offline() {
      this.#isOffline = true;
    }
    /** The network is another one. */
    networkChanged() {
      this.#isOffline = false;
      this.#candidates.forgiveAll();
      this.pace = new Pace();
    }
    /** Whether a link is begun, or waits to say hello, that may still carry a session which has no other. */
    goesOn(isAdvised, isAlive) {
      this.#uses = this.#uses.filter(({ link }) => isAlive(link));
      if (!this.#opening) return false;
      if (isAdvised) return this.#uses.some(({ carries }) => carries);
      return this.#joinsAt() === -Infinity || this.#uses.some(({ carries, reached }) => carries || reached === OPENED);
    }
    /** A verdict to remember, or to forget, once; `undefined` where there is nothing new. */
    pollVerdict(wallMs2) {
      if (!this.#hasNews) return void 0;
      this.#hasNews = false;
      const best = this.#verdict;
      return { verdict: best && { transport: best.name, offer: best.offer ?? void 0, atMs: wallMs2 } };
    }
    /** The next thing to do by now. `isAlive` says which links are still there: the others ended without a word. */
    decide(nowMs, isAlive) {
      for (const { link } of this.#uses) {
        if (this.#active && !isAlive(link)) this.ended(nowMs, link, "late", "another was faster");
      }
      this.#uses = this.#uses.filter(({ link }) => isAlive(link));
      if (this.#active) return this.#decideUp(nowMs, this.#active);
      const overdue = this.#overdue;
      this.#overdue = void 0;
      if (overdue) return drop(overdue, "silent");
      return this.#opening && this.#decideOpening(nowMs, this.#opening);
    }
    /** When there is something to decide though nothing happens; `Infinity` where never. */
    deadline() {
      const next = this.#opening?.isCold || this.#active ? this.#nextProbe() : void 0;
      return Math.min(next?.atMs ?? Infinity, this.#joinsAt(), ...this.#uses.map((used) => expiresAt(used, this.#timing)));
    }
    #decideOpening(nowMs, opening2) {
      const { lead } = opening2;
      if (lead) {
        opening2.lead = void 0;
        opening2.hasJoined ||= isPolling(lead);
        return { do: "carry", transport: lead.name };
      }
      const isCarried = this.#uses.some(({ carries }) => carries);
      const [best] = this.#uses.filter(({ carries, reached }) => reached === OPENED && (carries || !isCarried)).sort((a, b) => this.#rank(a) - this.#rank(b));
      if (best) return greet(nowMs, best, true);
      const polling2 = this.#candidates.polling();
      if (polling2 && this.#joinsAt() <= nowMs) {
        opening2.hasJoined = true;
        return { do: "carry", transport: polling2.name };
      }
      return this.#giveUp(nowMs) ?? (opening2.isCold ? this.#raise(nowMs, polling2 ? "probe" : "carry") : void 0);
    }
    #decideUp(nowMs, active) {
      const overdue = this.#overdue;
      if (overdue) {
        this.#overdue = void 0;
        const polling2 = this.#raises() && overdue === active && this.#candidates.polling();
        if (!polling2 || this.#hedged === overdue) return drop(overdue, "silent");
        this.#hedged = overdue;
        return { do: "carry", transport: polling2.name };
      }
      const rank = this.#rank(active);
      const late = this.#uses.find(
        (used) => used !== active && (used.carries ? !isPolling(used.candidate) : this.#rank(used) > rank)
      );
      if (late) return drop(late, "late");
      const opened = this.#uses.find(({ reached }) => reached === OPENED);
      if (opened) return greet(nowMs, opened, false);
      return this.#giveUp(nowMs) ?? this.#raise(nowMs, "probe");
    }
    /** Opens the next better transport, if it is time. */
    #raise(nowMs, how) {
      const next = this.#nextProbe();
      return next && next.atMs <= nowMs ? { do: how, transport: next.transport } : void 0;
    }
    /** Drops the first probe whose patience is over. */
    #giveUp(nowMs) {
      const expired = this.#uses.find((used) => expiresAt(used, this.#timing) <= nowMs);
      return expired && drop(expired, expiry(expired));
    }
    /** When a poll joins a lead that stays silent: `-Infinity` for at once. */
    #joinsAt() {
      const opening2 = this.#opening;
      if (!opening2 || opening2.hasJoined || !this.#candidates.polling()) return Infinity;
      const hasFailed = !opening2.lead && !this.#uses.some(({ carries }) => carries);
      return opening2.joinsFailed && hasFailed ? -Infinity : opening2.quietSinceMs + opening2.joinMs;
    }
    /** The next transport to probe, and when: the better ones, best first, each a little after the one before. */
    #nextProbe() {
      if (!this.#raises()) return void 0;
      const order = this.#candidates.order();
      const better = this.#active ? order.slice(0, this.#rank(this.#active)) : order;
      const busyMs = this.#uses.map((used) => busyUntil(used, this.#timing));
      return better.filter((candidate) => !this.#uses.some((used) => used.candidate === candidate)).filter(({ isDuplex }) => !this.#opening || isDuplex).map(({ name, notBeforeMs }) => ({ transport: name, atMs: Math.max(notBeforeMs, ...busyMs) })).sort((a, b) => a.atMs - b.atMs)[0];
    }
    /** Whether a link may be opened beside another. */
    #raises() {
      return this.#negotiates && !this.#isOffline;
    }
    /** Its transport's place in the order; past the end where it has none. */
    #rank({ candidate }) {
      const rank = this.#candidates.order().indexOf(candidate);
      return rank < 0 ? Infinity : rank;
    }
    /** Remembers what is best, or that nothing is. */
    #judge(verdict) {
      this.#verdict = verdict;
      this.#hasNews = true;
    }
    #of(link) {
      return this.#uses.find((used) => used.link === link);
    }
  };

  // src/core/outbox.ts
  var SAVED_BYTES = 131072;
  var KNOWN_MS = 24e4;
  var FRAME_ITEMS = 4096;
  var OVERHEAD_BYTES = 16;
  var noop = { type: "noop" };
  var Outbox = class {
    /** The lowest unreplied number; one past the last when all are replied. */
    low = 1;
    /** The last number that the gateway took. */
    taken = 0;
    /** Rises whenever what has to be kept over a reload is another. */
    revision = 0;
    #entries = [];
    /** The number that the next command gets. */
    get next() {
      return this.low + this.#entries.length;
    }
    /** Since when the oldest unreplied command is out; `Infinity` where none is. */
    get unrepliedSinceMs() {
      return this.#entries[0]?.saidMs ?? Infinity;
    }
    /** Numbers a command. */
    push(command2, owner, bytes = sizeOf(command2)) {
      this.#push({ command: command2, owner, bytes, saidMs: Infinity });
    }
    #push(entry) {
      this.#entries.push(entry);
      this.revision++;
    }
    /** Whether `run` has something to say after `after`. */
    hasRun(after, ahead) {
      return after + 1 < this.#end(ahead);
    }
    #end(ahead) {
      return Math.min(this.next, this.low + Math.max(ahead, 1));
    }
    /** The commands to say after `after`: within the window of `ahead` unreplied ones, and of these bytes, but one at least. */
    run(nowMs, after, ahead, budgetBytes) {
      const items = [];
      const end = Math.min(this.#end(ahead), after + FRAME_ITEMS);
      for (let number = after + 1, bytes = 0; number < end; number++) {
        const entry = this.#entries[number - this.low];
        bytes += entry?.bytes ?? OVERHEAD_BYTES;
        if (bytes > budgetBytes && items.length) break;
        if (entry?.saidMs === Infinity) {
          entry.saidMs = nowMs;
          this.revision++;
        }
        items.push(entry?.command ?? noop);
      }
      return items.length ? { type: "commands", first: after + 1, items } : void 0;
    }
    /** The commands to say in the message that opens a session: those before the first `send` (C5). */
    openingRun(nowMs, ahead, budgetBytes) {
      const sends = this.#entries.findIndex(({ command: command2 }) => command2.type === "send");
      const count = sends < 0 ? this.#entries.length : sends;
      return count ? this.run(nowMs, this.low - 1, Math.min(ahead, count), budgetBytes) : void 0;
    }
    /** Whether a subscribe of this channel is still to be answered. */
    asksFor(channel) {
      return this.#entries.some(({ command: command2 }) => command2.type === "subscribe" && command2.channel === channel);
    }
    /** Notes the reply of a number; tells who waited for it and what it was, once. */
    reply(number) {
      const entry = number === void 0 ? void 0 : this.#entries[number - this.low];
      if (entry?.owner === void 0) return void 0;
      const { owner, command: command2 } = entry;
      Object.assign(entry, { owner: void 0, command: noop, bytes: OVERHEAD_BYTES });
      while (this.#entries[0] && this.#entries[0].owner === void 0) {
        this.#entries.shift();
        this.low++;
      }
      this.revision++;
      return { owner, command: command2 };
    }
    /** Notes that the gateway took everything up to `number`. Returns whether that was news. */
    confirm(number) {
      const isNews = number > this.taken && number < this.next;
      if (isNews) this.taken = number;
      return isNews;
    }
    /** The number of the largest command that is on its way. */
    largestOnItsWay() {
      let largest2;
      let most = 0;
      this.#entries.forEach(({ owner, saidMs, bytes }, index) => {
        const number = this.low + index;
        if (number > this.taken && owner !== void 0 && saidMs < Infinity && bytes >= most) [largest2, most] = [number, bytes];
      });
      return largest2;
    }
    /**
     * Begins anew for a new session: numbers from 1, `renewals` first, then what is left.
     *
     * C6: a `send` that was said and has no reply is not said again; its owner is returned, its outcome unknown. One with an
     * `id` is said again, where it is sure that the gateway knows that: for a while, and for an authenticated user alone.
     */
    beginAnew(nowMs, renewals, isAuthenticated) {
      const old = this.#entries;
      [this.low, this.taken, this.#entries] = [1, 0, []];
      for (const renewal of renewals) this.push(renewal, "renewal");
      const unknown = [];
      for (const entry of old) {
        const { owner, command: command2, saidMs } = entry;
        if (typeof owner !== "number") continue;
        const isSure = isAuthenticated && command2.type === "send" && command2.id !== void 0 && nowMs - saidMs < KNOWN_MS;
        if (isUnknown(entry) && !isSure) unknown.push(owner);
        else this.#push({ ...entry, saidMs: isSure ? saidMs : Infinity });
      }
      return unknown;
    }
    /** Everyone who still waits, and whether the outcome is unknown. Nothing is left. */
    abandon() {
      const abandoned = this.#entries.map((entry) => ({ owner: entry.owner, isUnknown: isUnknown(entry) }));
      this.low = this.next;
      this.#entries = [];
      return abandoned;
    }
    /** What the next page needs of them: the channels are for its application to say. */
    save() {
      let { low } = this;
      let room = SAVED_BYTES;
      let said = 0;
      const commands = [];
      const unkept = [];
      this.#entries.forEach(({ command: command2, owner, bytes, saidMs }, index) => {
        const number = this.low + index;
        const isKept = owner !== void 0 && command2.type === "send";
        if (saidMs < Infinity) said = number;
        if (isKept && bytes > room) unkept.push(number);
        else if (isKept) room -= bytes;
        if (isKept && unkept.at(-1) !== number) commands.push(command2);
        else if (commands.length) commands.push(noop);
        else low = number + 1;
      });
      return { low, commands, said, unkept };
    }
    /** Goes on with what the page before has left, each under its number and minus its number as its ticket. */
    restore({ low, commands, said }, saidMs) {
      [this.low, this.taken] = [low, low - 1];
      commands.forEach((command2, index) => {
        const number = low + index;
        const owner = command2.type === "send" ? -number : void 0;
        this.#entries.push({ command: command2, owner, bytes: sizeOf(command2), saidMs: number <= said ? saidMs : Infinity });
      });
    }
  };
  var isUnknown = ({ command: command2, saidMs }) => command2.type === "send" && saidMs < Infinity;
  function sizeOf(command2) {
    return OVERHEAD_BYTES + lengthOf(command2);
  }
  var encoder = new TextEncoder();
  function lengthOf(frames) {
    let binary = 0;
    const text2 = JSON.stringify(frames, (_, member2) => {
      if (!(member2 instanceof Uint8Array)) return member2;
      binary += Math.ceil(member2.length / 3) * 4;
      return "";
    });
    return encoder.encode(text2).length + binary;
  }

  // src/core/volatile.ts
  var WAITING = 16;
  var SENDERS = 1024;
  var Volatiles = class {
    #seq = 0;
    /** By channel and name: of each only the newest waits. */
    #waiting = /* @__PURE__ */ new Map();
    /** The last number of each sender in each channel, heard longest ago first. Names of channels have no space. */
    #heard = /* @__PURE__ */ new Map();
    /** Numbers begin with the clock, so that they are above those of the page that was here before. */
    number(wallMs2) {
      return this.#seq = Math.max(Math.floor(wallMs2), this.#seq + 1);
    }
    /** Lets one wait for the next post. */
    wait(volatile) {
      const key = `${volatile.channel} ${volatile.name ?? ""}`;
      this.#waiting.delete(key);
      this.#waiting.set(key, volatile);
      trim(this.#waiting, WAITING);
    }
    get isWaiting() {
      return this.#waiting.size > 0;
    }
    /** Those that wait, oldest first, as far as `fits` takes them; the others go on waiting. */
    drain(fits2) {
      const said = [];
      for (const [key, volatile] of this.#waiting) {
        if (!fits2(volatile)) break;
        this.#waiting.delete(key);
        said.push(volatile);
      }
      return said;
    }
    /** Whether one that came down is news. */
    isNews({ channel, sender, seq }) {
      const key = `${channel} ${sender?.session ?? ""}`;
      if (seq <= (this.#heard.get(key) ?? -1)) return false;
      this.#heard.delete(key);
      this.#heard.set(key, seq);
      trim(this.#heard, SENDERS);
      return true;
    }
    /** A channel is left; without a name, another session begins. */
    forget(channel) {
      if (channel === void 0) this.#waiting.clear();
      for (const key of this.#heard.keys()) {
        if (channel === void 0 || key.startsWith(`${channel} `)) this.#heard.delete(key);
      }
    }
  };
  function trim(map, most) {
    const [oldest] = map.keys();
    if (map.size > most && oldest !== void 0) map.delete(oldest);
  }

  // src/core/conversation.ts
  var ATTACHES_BETWEEN_PAGES = 1e6;
  function begin(options) {
    const { saved, auth, random, nowMs, wallMs: wallMs2 } = options;
    const conversation = {
      options,
      instance: Array.from({ length: 26 }, () => Math.floor(random() * 32).toString(32)).join(""),
      now: nowMs,
      outputs: [],
      inbox: new Inbox(),
      outbox: new Outbox(),
      volatiles: new Volatiles(),
      negotiation: new Negotiation(options),
      links: /* @__PURE__ */ new Map(),
      nextLink: 1,
      active: void 0,
      known: void 0,
      auth,
      authExpiresAtMs: Infinity,
      authExpiresInMs: Infinity,
      guidance: { windowMs: 0, backoff: { baseMs: 1e3, capMs: 3e4 } },
      limits: {
        messageBytes: 65536,
        commandsAhead: 64,
        unacknowledgedItems: 1024,
        unacknowledgedBytes: 262144,
        subscriptions: 256,
        commandsPerSecond: 0
      },
      heartbeatMs: 15e3,
      offers: [],
      wishes: /* @__PURE__ */ new Map(),
      attach: 0,
      followed: 0,
      positionsWanted: false,
      slot: void 0,
      standing: options.needsAuth && auth === void 0 ? "unauthorized" : "waiting",
      untilMs: nowMs,
      reason: "unauthorized",
      paused: void 0,
      isHidden: false,
      wasUp: false,
      attempts: 0,
      strikes: 0,
      refusals: 0,
      advised: false,
      notBeforeMs: -Infinity,
      ackAtMs: Infinity,
      planned: void 0,
      dueMs: Infinity
    };
    if (saved) {
      const { session, token, incarnation, user, attach, after, unkept, atMs } = saved;
      conversation.known = { session, token, incarnation, user };
      conversation.attach = conversation.followed = attach + ATTACHES_BETWEEN_PAGES;
      conversation.positionsWanted = true;
      conversation.inbox.received = after;
      conversation.outbox.restore(saved, nowMs - Math.max(0, wallMs2 - atMs));
      for (const number of unkept) tell(conversation, -number, { kind: "unknown" });
    }
    return conversation;
  }
  var wallMs = ({ options, now }) => options.wallMs + now - options.nowMs;
  var isOver = ({ standing }) => standing === "closing" || standing === "closed";
  function stand(c, standing, untilMs = Infinity) {
    if (isOver(c)) return;
    c.standing = standing;
    c.untilMs = untilMs;
  }
  function say(c, link, message, isVolatile = false) {
    c.outputs.push({ do: "transmit", link: link.key, message, isVolatile });
  }
  function tell(c, owner, outcome) {
    if (typeof owner === "number") c.outputs.push({ do: "settle", ticket: owner, outcome });
  }
  function stay(c, ticket, reason) {
    tell(c, ticket, { kind: "stayed", reason });
  }
  function plan(c, planned) {
    stay(c, c.planned?.ticket, "another move was asked for");
    c.planned = planned;
  }

  // src/core/backoff.ts
  var LONGEST_MS3 = 36e5;
  function boundMs({ windowMs, backoff }, attempt3) {
    const doubled = attempt3 > 1 ? backoff.baseMs * 2 ** Math.min(attempt3 - 2, 60) : 0;
    return Math.min(LONGEST_MS3, Math.max(windowMs, Math.min(backoff.capMs, doubled)));
  }
  function appointmentMs(delayMs, spreadMs, random) {
    return Math.min(delayMs, LONGEST_MS3) + Math.floor(random() * (Math.min(spreadMs, LONGEST_MS3) + 1));
  }

  // src/core/link.ts
  var nothingStated = () => ({ resume: false, incarnation: 0, after: 0, low: 1, positions: void 0, commands: 0 });
  function newLink(key, transport, isDuplex, nowMs) {
    return {
      key,
      transport,
      isDuplex,
      isPolling: transport === "polling",
      carries: false,
      greeted: false,
      probing: false,
      attached: false,
      confirmed: false,
      useful: false,
      attach: 0,
      stated: nothingStated(),
      name: 0,
      acked: 0,
      ackedBytes: 0,
      said: 0,
      sinceMs: nowMs,
      heardMs: nowMs,
      untilMs: Infinity,
      fault: void 0,
      pingedMs: Infinity,
      askedMs: Infinity,
      wakes: 0,
      doubts: 0,
      poll: void 0,
      polledMs: nowMs,
      hasNews: false,
      pollNotBeforeMs: 0,
      retrying: false,
      latePolls: 0,
      hedgedPolls: 0,
      idleAnswers: 0,
      post: void 0,
      nextPost: 0,
      failedPosts: 0,
      postNotBeforeMs: 0,
      pings: false,
      pong: void 0,
      attaches: false,
      ticket: void 0
    };
  }

  // src/core/post.ts
  var UPLOAD_BYTES_PER_MS = 8;
  var FAILED_POSTS = 6;
  var TOLD_BYTES = 2048;
  var STALE = /^(session_|token_invalid|incarnation_)/;
  function post(c, link) {
    const { inbox, outbox, limits, known, negotiation, volatiles, now } = c;
    const { timing } = c.options;
    const isAckDue = !link.isPolling && ackDue(c, link);
    if (!known || link.post || now < link.postNotBeforeMs) return;
    const commands = outbox.hasRun(outbox.taken, limits.commandsAhead);
    const { pings, pong, attaches: attach } = link;
    if (!(commands || isAckDue || pings || attach || pong !== void 0 || volatiles.isWaiting)) return;
    const message = [{ type: "session", token: known.token, incarnation: known.incarnation, link: link.name }];
    const { taken, bytes } = inbox;
    if (pong !== void 0) message.push({ type: "pong", nonce: pong });
    if (pings) message.push({ type: "ping" });
    link.pings = false;
    if (attach) {
      c.followed = link.attach = ++c.attach;
      link.acked = taken;
      link.ackedBytes = bytes;
      message.push({ type: "attach", number: link.attach, after: taken });
    }
    const acks = !link.isPolling && taken > link.acked;
    const run = commands ? outbox.run(now, outbox.taken, limits.commandsAhead, budget(c, message)) : void 0;
    if (run) message.push(acks ? { ...run, ack: taken } : run);
    else if (acks) message.push({ type: "ack", upTo: taken });
    const length = lengthOf(message);
    let room = budget(c, {}) - length;
    if (room > TOLD_BYTES) {
      message.push(...negotiation.history.tell(now));
      room -= TOLD_BYTES;
    }
    message.push(...volatiles.drain((volatile) => (room -= lengthOf(volatile) + 1) > 0));
    const lateMs = (negotiation.pace.late(timing) + negotiation.pace.patience(timing)) * 2 ** Math.min(link.failedPosts, 5);
    const patienceMs = Math.min(timing.postMs, lateMs + length / UPLOAD_BYTES_PER_MS);
    sendPost(c, link, message, { untilMs: now + patienceMs, ack: acks ? { upTo: taken, bytes } : void 0, commands, pong, attach });
  }
  function sendPost(c, link, message, post2) {
    const id = link.nextPost++;
    link.post = { id, ...post2 };
    c.outputs.push({ do: "post", link: link.key, post: id, message });
  }
  function postAlone(c, link, frame) {
    if (!c.known) return;
    const { token, incarnation } = c.known;
    const message = [{ type: "session", token, incarnation, link: link.name }, frame];
    sendPost(c, link, message, { untilMs: c.now + c.options.timing.postMs, bye: frame.type === "bye" });
  }
  function handlePosted(c, link, id, answer) {
    const { post: post2 } = link;
    if (post2?.id !== id) return;
    link.post = void 0;
    if (post2.bye && c.standing === "closing") return stop(c, void 0);
    const before = c.outbox.taken;
    const { random } = c.options;
    let isDelivered = typeof answer !== "string";
    let notBeforeMs = 0;
    for (const frame of typeof answer === "string" ? [] : answer) {
      switch (frame.type) {
        case "ack":
          handleAck(c, link, frame.upTo);
          break;
        case "items":
          handleAck(c, link, frame.ack);
          break;
        case "ping":
        case "pong":
          handleWindow(c, frame.windowMs);
          break;
        case "error":
          isDelivered = false;
          handleRefusal(c, link, frame);
          break;
        case "retry":
          isDelivered = false;
          if (frame.reason !== "superseded") notBeforeMs = c.now + appointmentMs(frame.delayMs, frame.spreadMs, random);
          break;
        default:
      }
    }
    if (!c.links.has(link.key)) return;
    const isProgress = c.outbox.taken > before;
    if (isDelivered) {
      if (post2.ack) {
        link.acked = Math.max(link.acked, post2.ack.upTo);
        link.ackedBytes = Math.max(link.ackedBytes, post2.ack.bytes);
        c.ackAtMs = Infinity;
      }
      if (post2.pong === link.pong) link.pong = void 0;
      if (post2.attach) link.attaches = false;
      link.useful ||= isProgress;
      if (isProgress || !post2.commands) {
        link.failedPosts = c.strikes = 0;
        link.postNotBeforeMs = notBeforeMs;
        return;
      }
    }
    link.failedPosts++;
    link.postNotBeforeMs = Math.max(notBeforeMs, c.now + appointmentMs(0, 100 * 2 ** Math.min(link.failedPosts, 6), random));
    if (link.failedPosts > FAILED_POSTS) fail2(c, link, "posts fail");
  }
  function handleRefusal(c, link, error) {
    const command2 = error.command ?? (error.code === "message_too_large" ? c.outbox.largestOnItsWay() : void 0);
    if (refuse(c, command2, error) || !STALE.test(error.code)) return;
    if (!link.isPolling) return fail2(c, link, error.code);
    if (link.poll && c.now - link.poll.sinceMs >= c.options.timing.ackDelayMs) link.poll = void 0;
  }

  // src/core/up.ts
  var FRAMING_BYTES = 128;
  var LATE_POLLS = 2;
  function speak(c) {
    const link = c.active;
    if (!link) return;
    if (link.isPolling) {
      if (pollDue(c, link) <= c.now) pollAgain(c, link);
    } else if (doubtAt(c, link) <= c.now) {
      link.doubts++;
      askForLife(c);
    }
    if (link.isDuplex) transmit(c, link);
    else post(c, link);
  }
  function budget({ limits }, message) {
    return limits.messageBytes - FRAMING_BYTES - lengthOf(message);
  }
  function transmit(c, link) {
    const { inbox, outbox, limits, negotiation } = c;
    const { taken } = inbox;
    let acks = ackDue(c, link) || taken > link.acked && outbox.hasRun(link.said, limits.commandsAhead);
    if (acks) {
      link.acked = taken;
      link.ackedBytes = inbox.bytes;
      c.ackAtMs = Infinity;
    }
    for (; ; ) {
      const run = outbox.run(c.now, link.said, limits.commandsAhead, budget(c, {}));
      if (!run) break;
      link.said += run.items.length;
      say(c, link, [acks ? { ...run, ack: taken } : run]);
      acks = false;
    }
    if (acks) say(c, link, [{ type: "ack", upTo: taken }]);
    if (link.confirmed && negotiation.history.hasUntold) say(c, link, negotiation.history.tell(c.now));
  }
  function ackDue(c, link) {
    const { inbox, limits } = c;
    const count = inbox.taken - link.acked;
    c.ackAtMs = count > 0 ? Math.min(c.ackAtMs, c.now + c.options.timing.ackDelayMs) : Infinity;
    return c.ackAtMs <= c.now || count > 0 && (count >= limits.unacknowledgedItems / 2 || inbox.bytes - link.ackedBytes >= limits.unacknowledgedBytes / 2);
  }
  function askForLife(c) {
    const link = c.active;
    if (!link?.attached) return;
    if (link.isPolling) {
      if (link.poll) pollAgain(c, link);
      return;
    }
    link.pingedMs = link.askedMs = c.now;
    if (link.isDuplex) say(c, link, [{ type: "ping" }]);
    else link.pings = true;
  }
  function doubtAt({ negotiation, options, outbox, heartbeatMs }, link) {
    if (link.pingedMs < Infinity || !link.attached) return Infinity;
    const lateMs = negotiation.pace.late(options.timing);
    const replyMs = Math.max(outbox.unrepliedSinceMs, link.heardMs) + lateMs * 2 ** Math.min(link.doubts, 5);
    return Math.min(replyMs, link.heardMs + heartbeatMs + lateMs);
  }
  function pollDue(c, link) {
    const { negotiation, outbox, inbox, isHidden, heartbeatMs } = c;
    const { timing } = c.options;
    const { poll, heardMs, pollNotBeforeMs } = link;
    const awaitsReplies = outbox.unrepliedSinceMs < Infinity;
    if (poll) {
      const lateMs = negotiation.pace.late(timing) * 2 ** Math.min(link.hedgedPolls, 5);
      const reply = link.attached ? Math.max(outbox.unrepliedSinceMs, poll.sinceMs, heardMs) + lateMs : Infinity;
      return Math.min(reply, hedgesAgainAt(c, link, poll.sinceMs));
    }
    if (link.retrying) return pollNotBeforeMs;
    if (inbox.isBehind) {
      return Math.max(pollNotBeforeMs, heardMs + (awaitsReplies ? timing.ackDelayMs : heartbeatMs));
    }
    const isEager = !isHidden || awaitsReplies || link.hasNews || !link.stated.resume;
    return Math.max(pollNotBeforeMs, isEager ? 0 : link.polledMs + timing.hiddenPollMs);
  }
  function hedgesAgainAt({ links, negotiation, options, guidance }, link, sinceMs) {
    const isHedge = link.attached && !link.confirmed && [...links.values()].some((other) => other !== link && other.confirmed);
    if (!isHedge) return Infinity;
    const waitMs = Math.max(negotiation.pace.silence(options.timing.joinFirstMs), guidance.windowMs);
    return Math.max(sinceMs, link.heardMs) + waitMs * 2 ** Math.min(link.hedgedPolls, 5);
  }
  function pollAgain(c, link, ...more) {
    const { negotiation, isHidden, now } = c;
    const { timing } = c.options;
    const isFirst = !link.confirmed;
    link.attach = ++c.attach;
    const message = greeting(c, link, isFirst);
    const { resume, positions, after } = link.stated;
    const goesOn = resume && !isFirst;
    if (goesOn) message.push(...negotiation.history.tell(now));
    const parks = goesOn && !positions && !isHidden;
    if (goesOn && isHidden) message.push({ type: "ping" });
    const graceMs = negotiation.pace.silence(timing.pollGraceMs) * 4 ** Math.min(link.latePolls, LATE_POLLS);
    if (link.poll) link.hedgedPolls++;
    link.retrying = false;
    link.acked = after;
    link.polledMs = now;
    link.poll = { attach: link.attach, sinceMs: now, untilMs: now + (parks ? timing.pollHoldMs + graceMs : timing.welcomeMs) };
    c.outputs.push({ do: "poll", link: link.key, attach: link.attach, message: [...message, ...more] });
  }
  function linkDeadline(c, link) {
    const due = [link.untilMs, link.poll?.untilMs ?? Infinity];
    if (link === c.active) {
      due.push(link.pingedMs + c.negotiation.pace.patience(c.options.timing));
      due.push(link.isPolling ? pollDue(c, link) : Math.min(doubtAt(c, link), link.isDuplex ? c.ackAtMs : Infinity));
      if (!link.isDuplex) due.push(link.post ? link.post.untilMs : Math.max(link.postNotBeforeMs, postDue(c, link)));
    }
    return Math.min(...due);
  }
  function postDue({ outbox, limits, volatiles, ackAtMs }, link) {
    const waits = link.pings || link.pong !== void 0 || link.attaches || volatiles.isWaiting || outbox.hasRun(outbox.taken, limits.commandsAhead);
    return waits ? -Infinity : link.isPolling ? Infinity : ackAtMs;
  }

  // src/core/opening.ts
  function attempt2(c) {
    stand(c, "opening");
    c.negotiation.attempt(c.now, c.known !== void 0 && c.wasUp, boundMs(c.guidance, 1));
  }
  function negotiate(c) {
    for (; ; ) {
      const decision = c.negotiation.decide(c.now, (key) => c.links.has(key));
      if (!decision) return;
      if (decision.do === "carry" || decision.do === "probe") {
        open(c, decision.transport, decision.do === "carry", void 0);
        continue;
      }
      const link = c.links.get(decision.link);
      if (!link) continue;
      if (decision.do === "drop") giveUp(c, link, decision.outcome);
      else say(c, link, opening(c, link, decision.attach));
    }
  }
  function moveIfDue(c) {
    const { planned } = c;
    if (!planned || planned.atMs > c.now) return;
    c.planned = void 0;
    if (!c.active) return stay(c, planned.ticket, NO_LINK);
    dropProbes(c, REPLACED);
    open(c, planned.transport, false, planned.ticket);
  }
  function open(c, transport, carries, ticket) {
    const isDuplex = c.options.transports.some(({ name, isDuplex: isDuplex2 }) => name === transport && isDuplex2);
    const link = newLink(c.nextLink++, transport, isDuplex, c.now);
    link.ticket = ticket;
    link.carries = carries || link.isPolling;
    if (link.carries && !link.isPolling) link.untilMs = c.now + c.options.timing.welcomeMs;
    c.negotiation.began(c.now, link.key, transport, link.carries, !isDuplex);
    c.links.set(link.key, link);
    const hello = isDuplex || link.isPolling ? [] : opening(c, link, carries);
    c.outputs.push({ do: "open", link: link.key, transport, offer: c.negotiation.offer(transport), hello });
    if (!link.isPolling) return;
    link.greeted = true;
    if (c.known && c.wasUp) {
      link.attached = true;
      c.active = link;
    }
    pollAgain(c, link);
  }
  function opening(c, link, attaches) {
    link.attach = attaches ? ++c.attach : 0;
    link.carries = attaches;
    link.greeted = true;
    link.untilMs = attaches ? c.now + c.options.timing.welcomeMs : Infinity;
    return greeting(c, link, true);
  }
  function greeting(c, link, isFirst) {
    const { known, auth, slot, options } = c;
    const stated = link.stated = state(c);
    const { resume, incarnation, after, low, positions } = stated;
    c.slot = void 0;
    const hello = {
      type: "hello",
      version: 0,
      instance: c.instance,
      ...link.attach && { attach: link.attach },
      ...auth !== void 0 && { auth },
      ...known && resume && { resume: { token: known.token, incarnation, after, low, ...positions && { positions } } },
      ...isFirst && { client: options.client },
      ...slot !== void 0 && { slot }
    };
    const message = [hello];
    const run = !link.attach || resume && c.wasUp ? void 0 : c.outbox.openingRun(c.now, c.limits.commandsAhead, budget(c, message));
    if (run) {
      stated.commands = run.first + run.items.length - 1;
      message.push(run);
    }
    return message;
  }
  function state({ known, positionsWanted, inbox, outbox }) {
    if (!known) return nothingStated();
    return {
      resume: true,
      incarnation: known.incarnation,
      after: positionsWanted ? inbox.received : inbox.taken,
      low: outbox.low,
      positions: positionsWanted ? Object.fromEntries(inbox.positions) : void 0,
      commands: 0
    };
  }
  function hasMoved({ inbox, outbox }, { after, low, positions }) {
    return after !== inbox.received || low !== outbox.low || Object.keys(positions ?? {}).length !== inbox.positions.size;
  }
  function dropProbes(c, reason) {
    for (const link of c.links.values()) if (link !== c.active && !link.attached) dropLink(c, link, reason);
  }
  function dropLink(c, link, reason) {
    if (!c.links.delete(link.key)) return;
    c.outputs.push({ do: "close", link: link.key, inPeace: false });
    if (c.active === link) c.active = void 0;
    stay(c, link.ticket, reason);
  }
  function prove(c, link, nonce) {
    if (link.stated.incarnation !== c.known?.incarnation) {
      return linkFailed(c, link, "late", "the session was rebuilt meanwhile");
    }
    link.attached = true;
    link.said = c.outbox.taken;
    link.acked = c.inbox.taken;
    link.ackedBytes = c.inbox.bytes;
    if (link.isDuplex) {
      c.followed = link.attach = ++c.attach;
      link.pingedMs = link.askedMs = c.now;
      say(c, link, [{ type: "pong", nonce }, { type: "attach", number: link.attach, after: link.acked }, { type: "ping" }]);
    } else {
      link.pong = nonce;
      link.attaches = true;
    }
    c.active = link;
    c.ackAtMs = Infinity;
  }
  var NO_LINK = "there is no link to move from";
  var REPLACED = "another link took its place";
  var UNPROVEN = "it came to nothing";

  // src/core/ending.ts
  var LATE_MS = 3e3;
  var CLOSED = "the session is closed";
  function told(end, { greeted, isPolling: isPolling2 }) {
    const broken = greeted || isPolling2 ? "lost" : "refused";
    switch (end.kind) {
      case "failed":
        return [end.outcome, end.reason];
      case "refused":
        return ["refused", `refused with status ${end.status}`];
      case "closed":
        return [end.code >= 4e3 && end.code < 4400 ? "drained" : broken, `closed with code ${end.code}`];
      default:
        return [broken, end.reason];
    }
  }
  function handleEnded(c, link, end) {
    if (c.standing === "closing") {
      c.links.delete(link.key);
      if (c.active === link) stop(c, void 0);
      return;
    }
    const [outcome, reason] = told(end, link);
    const retryMs = end.kind === "refused" ? end.retryAfterMs : void 0;
    if (c.active !== link && (c.active || !link.carries)) {
      linkFailed(c, link, outcome, reason);
      if (retryMs !== void 0) c.negotiation.leaveAlone(link.transport, c.now + retryMs);
      if (end.kind === "closed" && end.code === 4300 && c.active) confirm(c, c.active, true);
      return;
    }
    if (outcome !== "drained") c.negotiation.ended(c.now, link.key, outcome, reason);
    if (link.fault) return comeBack(c, link, link.fault);
    if (end.kind === "protocol") return protocolError(c, link, reason);
    if (end.kind === "closed") return closed(c, link, end.code, reason);
    comeBack(c, link, reason, retryMs);
  }
  function closed(c, link, code, reason) {
    const isNewest = link.attach === c.attach;
    if (code === 1002 || code === 1003 || code === 1007) return refused2(c, link, reason, void 0);
    if (code >= 4200 && code < 4300) return needCredentials(c);
    if (code > 4300 && code < 4400) return stop(c, reason);
    if (code === 1009) refuse(c, c.outbox.largestOnItsWay(), { code: "message_too_large", message: reason });
    c.positionsWanted ||= code === 4003;
    if (code >= 4100 && code < 4200) loseSession(c, link, "gone", false, void 0);
    if (code === 4300 && isNewest) loseSession(c, link, "superseded", false, void 0);
    comeBack(c, link, reason);
  }
  function refused2(c, link, reason, waitMs) {
    if (++c.refusals > 1) return stop(c, "protocol_error");
    c.negotiation.turn();
    comeBack(c, link, reason, waitMs);
  }
  function linkFailed(c, link, outcome, reason) {
    c.negotiation.ended(c.now, link.key, outcome, reason);
    dropLink(c, link, UNPROVEN);
  }
  var REASONS = {
    late: "another was faster",
    blocked: "nothing came back",
    hung: "its handshake was not answered",
    buffered: "it was welcomed, and nothing more came"
  };
  function giveUp(c, link, outcome) {
    const reason = REASONS[outcome] ?? "what was due did not come";
    if (c.active !== link) return linkFailed(c, link, outcome, reason);
    c.negotiation.ended(c.now, link.key, outcome, reason);
    comeBack(c, link, reason);
  }
  function fail2(c, link, reason) {
    handleEnded(c, link, { kind: "lost", reason });
  }
  function protocolError(c, link, reason) {
    c.strikes++;
    comeBack(c, link, reason);
  }
  function mismatch(c, link) {
    loseSession(c, link, "mismatch", false, void 0);
    protocolError(c, link, "the counts do not fit together");
  }
  function comeBack(c, link, reason, waitMs) {
    const { negotiation, now } = c;
    const isOpening = !c.active && link.carries;
    if (!c.links.has(link.key)) return;
    negotiation.ended(now, link.key, waitMs === void 0 ? "lost" : "drained", reason);
    if (c.active !== link && !isOpening) return dropLink(c, link, UNPROVEN);
    dropLink(c, link, UNPROVEN);
    c.active = void 0;
    c.ackAtMs = Infinity;
    const [before] = [...c.links.values()].filter(({ attached }) => attached).sort((a, b) => b.attach - a.attach);
    if (before) return fallBack(c, before);
    if (waitMs !== void 0) c.notBeforeMs = Math.max(c.notBeforeMs, now + waitMs);
    const isAdvised = waitMs !== void 0 || c.notBeforeMs > now;
    c.reason = reason;
    if (negotiation.goesOn(isAdvised, (key) => c.links.has(key))) return stand(c, "opening");
    if (!link.confirmed && waitMs === void 0) negotiation.turn();
    const isLongLived = now - link.sinceMs >= c.guidance.backoff.baseMs;
    if (link.useful || isLongLived) c.strikes = 0;
    else if (link.confirmed) c.strikes++;
    rest(c, isAdvised, c.strikes, waitMs === void 0 ? void 0 : now + waitMs);
  }
  function waitIfAlone(c) {
    const isAdvised = c.notBeforeMs > c.now;
    if (c.standing !== "opening" || c.active || c.negotiation.goesOn(isAdvised, (key) => c.links.has(key))) return;
    c.negotiation.turn();
    rest(c, isAdvised, 0, void 0);
  }
  function rest(c, isAdvised, strikes, adviceMs) {
    c.negotiation.rest();
    c.advised = isAdvised;
    dropProbes(c, NO_LINK);
    stay(c, c.planned?.ticket, NO_LINK);
    c.planned = void 0;
    const attempt3 = ++c.attempts + strikes;
    const waitMs = appointmentMs(0, boundMs(c.guidance, attempt3), c.options.random);
    stand(c, "waiting", Math.max(adviceMs ?? c.now + waitMs, c.notBeforeMs));
  }
  function attachAfresh(c, link) {
    if (link.isPolling) {
      link.retrying = link.attached = true;
      c.active = link;
      return;
    }
    if (c.active === link) c.active = void 0;
    comeBack(c, link, "the session was rebuilt from what has moved since", 0);
  }
  function fallBack(c, link) {
    link.said = c.outbox.taken;
    c.active = link;
    stand(c, "up");
    c.negotiation.fellBack(link.key);
    blameSilence(c, link);
  }
  function blameSilence(c, link) {
    if (link.pingedMs + c.negotiation.pace.patience(c.options.timing) <= c.now) c.negotiation.overdue(link.key);
  }
  function loseSession(c, link, reason, isTakenUp, user) {
    for (const other of c.links.values()) if (other !== link) dropLink(c, other, NO_LINK);
    const isAuthenticated = c.known?.user !== void 0 && (user ?? c.known.user) === c.known.user;
    c.known = void 0;
    c.positionsWanted = false;
    c.inbox.beginAnew();
    const renewals = [...isTakenUp ? [] : c.inbox.positions].map(
      ([channel, position]) => ({ type: "subscribe", ...c.wishes.get(channel), channel, from: { position } })
    );
    for (const owner of c.outbox.beginAnew(c.now, renewals, isAuthenticated)) tell(c, owner, { kind: "unknown" });
    c.inbox.note({ hear: "lost", reason, isFinal: false });
  }
  function needCredentials(c) {
    dropAll(c);
    c.reason = "unauthorized";
    stand(c, "unauthorized");
  }
  function dropAll(c) {
    c.negotiation.rest();
    for (const link of c.links.values()) dropLink(c, link, CLOSED);
    c.ackAtMs = Infinity;
    stay(c, c.planned?.ticket, CLOSED);
    c.planned = void 0;
  }
  function stop(c, reason) {
    dropAll(c);
    for (const { owner, isUnknown: isUnknown2 } of c.outbox.abandon()) tell(c, owner, { kind: isUnknown2 ? "unknown" : "closed" });
    if (reason !== void 0) c.inbox.note({ hear: "lost", reason, isFinal: true });
    c.reason = reason ?? "closed";
    c.standing = "closed";
  }
  function close(c) {
    if (isOver(c)) return;
    const link = c.active;
    if (!link) return stop(c, void 0);
    if (link.isDuplex) {
      say(c, link, [{ type: "bye" }]);
      c.outputs.push({ do: "close", link: link.key, inPeace: true });
    } else if (link.isPolling) {
      pollAgain(c, link, { type: "bye" });
    } else postAlone(c, link, { type: "bye" });
    c.reason = "closed";
    stand(c, "closing", c.now + c.options.timing.goodbyeMs);
  }
  function expire(c) {
    if (c.standing === "closing" && c.untilMs <= c.now) return stop(c, void 0);
    if (isOver(c)) return;
    if (c.now - c.dueMs > LATE_MS) wake(c, c.now - c.dueMs);
    for (const link of c.links.values()) {
      const { poll, post: post2 } = link;
      if (link.untilMs <= c.now) {
        fail2(c, link, "silent");
        continue;
      }
      if (link === c.active) blameSilence(c, link);
      if (poll && poll.untilMs <= c.now) {
        link.poll = void 0;
        if (++link.latePolls >= LATE_POLLS || !link.confirmed) {
          fail2(c, link, "polls are not answered");
          continue;
        }
      }
      if (post2 && post2.untilMs <= c.now) handlePosted(c, link, post2.id, "no answer");
    }
  }
  function wake(c, lateMs) {
    for (const link of c.links.values()) {
      if (!link.attached && !link.carries) {
        linkFailed(c, link, "late", "the page slept meanwhile");
        continue;
      }
      if (link.wakes++ && (link.poll ?? link.pingedMs < Infinity)) continue;
      link.untilMs += lateMs;
      link.pingedMs = link.askedMs = Infinity;
      if (link.post) link.post.untilMs += lateMs;
      if (link.poll) {
        link.poll.sinceMs += lateMs;
        link.poll.untilMs += lateMs;
      }
      if (link === c.active && link.heardMs < c.now) {
        link.heardMs = Math.min(c.now, link.heardMs + lateMs);
        askForLife(c);
      }
    }
  }

  // src/core/down.ts
  var IDLE_ANSWERS = 2;
  var RETRYABLE = /^(too_many_(?!sub)|commands_ahead|handler_failed|overloaded|shutting_down|timed_out|internal|incarnation_)/;
  function handleFrames(c, link, frames) {
    for (const frame of frames) if (c.links.has(link.key)) handleFrame(c, link, frame);
  }
  function handleAlive(c, link) {
    link.heardMs = c.now;
    link.wakes = 0;
    link.pingedMs = Infinity;
    const graceMs = 4 * c.negotiation.pace.silence(c.options.timing.pollGraceMs);
    if (link.poll) link.poll.untilMs = Math.max(link.poll.untilMs, c.now + graceMs);
    c.negotiation.heard(c.now, link.key);
  }
  function handleAnswer(c, link, attach, frames) {
    if (c.standing === "closing") return stop(c, void 0);
    const { poll } = link;
    if (poll?.attach !== attach) return;
    link.poll = void 0;
    link.heardMs = c.now;
    link.latePolls = link.hedgedPolls = link.wakes = 0;
    const count = () => c.inbox.received + c.outbox.taken;
    const before = count();
    handleFrames(c, link, frames);
    if (!c.links.has(link.key)) return;
    if (link.fault) return comeBack(c, link, link.fault);
    if (!link.attached) return protocolError(c, link, "the opening poll was answered without a welcome");
    link.hasNews = count() !== before || frames.some(({ type }) => type === "welcome");
    link.idleAnswers = link.hasNews || c.now - poll.sinceMs >= 100 ? 0 : link.idleAnswers + 1;
    if (link.idleAnswers > IDLE_ANSWERS) {
      const waitMs = 100 * 2 ** Math.min(link.idleAnswers - IDLE_ANSWERS - 1, 5);
      link.pollNotBeforeMs = Math.max(link.pollNotBeforeMs, c.now + waitMs);
    }
    if (!link.retrying) {
      c.followed = Math.max(c.followed, attach);
      confirm(c, link, true);
    }
    if (c.active !== link) dropLink(c, link, REPLACED);
  }
  function handleFrame(c, link, frame) {
    handleAlive(c, link);
    const wasActive = c.active === link;
    switch (frame.type) {
      case "welcome":
        return handleWelcome(c, link, frame);
      case "retry":
        return handleRetry(c, link, frame);
      case "items":
        handleAck(c, link, frame.ack);
        handleItems(c, link, frame.first, frame.items);
        break;
      case "ack":
        handleAck(c, link, frame.upTo);
        break;
      case "error":
        refuse(c, frame.command, frame);
        if (frame.fatal) link.fault = frame.code;
        break;
      case "migrate": {
        const transport = c.negotiation.asked(frame.transports);
        const waitMs = appointmentMs(frame.delayMs, frame.spreadMs, c.options.random);
        if (transport) plan(c, { atMs: c.now + waitMs, transport, ticket: void 0 });
        break;
      }
      case "ping":
        handleWindow(c, frame.windowMs);
        handlePing(c, link, frame.nonce);
        break;
      case "pong":
        handleWindow(c, frame.windowMs);
        if (link.askedMs < Infinity) c.negotiation.pace.measure(c.now - link.askedMs);
        link.askedMs = Infinity;
        break;
      case "volatile":
        handleVolatile(c, link, frame);
        break;
      default:
    }
    if (!link.isPolling && wasActive) confirm(c, link, true);
  }
  function handleVolatile(c, link, frame) {
    if (link.attached && c.inbox.positions.has(frame.channel) && c.volatiles.isNews(frame)) c.inbox.note({ hear: "volatile", frame });
  }
  function handleWindow(c, windowMs) {
    if (windowMs !== void 0) c.guidance.windowMs = windowMs;
  }
  function handlePing(c, link, nonce) {
    if (link.probing && nonce !== void 0) {
      link.probing = false;
      prove(c, link, nonce);
    } else if (!link.probing && !link.attached) return;
    else if (link.isDuplex) say(c, link, [nonce === void 0 ? { type: "pong" } : { type: "pong", nonce }]);
    else if (nonce !== void 0 && !link.isPolling) link.pong = nonce;
  }
  function handleWelcome(c, link, welcome) {
    const { inbox, outbox, negotiation, known } = c;
    const { session, token, incarnation, user } = welcome;
    c.guidance = { windowMs: welcome.windowMs, backoff: welcome.backoff };
    c.heartbeatMs = Math.min(Math.max(welcome.heartbeatMs, 1), 36e5);
    if (!link.greeted) return protocolError(c, link, "welcomed before hello");
    negotiation.welcomed(c.now, link.key);
    if (welcome.transports) {
      c.offers = welcome.transports;
      negotiation.offered(c.now, welcome.transports);
    }
    link.name = welcome.link;
    link.untilMs = Infinity;
    const { attach, stated } = link;
    if (!attach) {
      const isSame3 = welcome.resumed && known?.session === session && known.incarnation === incarnation;
      if (!isSame3) return linkFailed(c, link, "refused", "it was welcomed to another session");
      link.probing = !link.attached;
      return;
    }
    if (attach <= c.followed) {
      if (!link.attached) dropLink(c, link, REPLACED);
      return;
    }
    if (welcome.limits) c.limits = welcome.limits;
    const isLost = stated.resume && !welcome.resumed;
    const isRebuilt = !isLost && !!known && known.incarnation !== incarnation;
    if (isRebuilt) dropOthers(c, link);
    if ((isRebuilt || isLost && stated.positions) && hasMoved(c, stated)) {
      dropOthers(c, link);
      c.positionsWanted = true;
      c.followed = attach;
      return attachAfresh(c, link);
    }
    if (isLost) loseSession(c, link, welcome.reason ?? "gone", !!stated.positions, welcome.user);
    if (!c.known) beginSession(c, link, welcome);
    else {
      const isAhead = !isRebuilt && welcome.next > inbox.received + 1;
      if (isAhead || welcome.received >= outbox.next) return mismatch(c, link);
      if (isRebuilt) {
        inbox.received = Math.max(welcome.next, 1) - 1;
        outbox.taken = welcome.received;
      } else outbox.confirm(welcome.received);
    }
    if (isRebuilt || isLost) wishAgain(c);
    c.followed = attach;
    c.positionsWanted = false;
    c.known = { session, token, incarnation, user };
    c.authExpiresInMs = welcome.authExpiresInMs ?? Infinity;
    c.authExpiresAtMs = c.now + c.authExpiresInMs;
    stated.incarnation = incarnation;
    link.attached = true;
    link.acked = Math.min(stated.after, inbox.received);
    link.ackedBytes = inbox.bytes;
    link.said = Math.max(outbox.taken, Math.min(isLost ? 0 : stated.commands, outbox.low - 1 + c.limits.commandsAhead));
    c.active = link;
    c.ackAtMs = Infinity;
    confirm(c, link, welcome.resumed && stated.resume);
  }
  function beginSession(c, link, { next, received }) {
    for (const other of c.links.values()) if (other !== link && other.greeted) dropLink(c, other, UNPROVEN);
    c.negotiation.beginAnew();
    c.volatiles.forget();
    c.inbox.received = Math.max(next, 1) - 1;
    c.outbox.taken = Math.min(received, Math.max(link.stated.commands, c.outbox.low - 1));
  }
  function wishAgain({ wishes, inbox, outbox }) {
    for (const { from: _, ...wish } of wishes.values()) {
      if (wish.presence && inbox.positions.has(wish.channel) && !outbox.asksFor(wish.channel)) outbox.push(wish, "wish");
    }
  }
  function confirm(c, link, isResumed) {
    if (link.confirmed || c.active !== link || !c.known) return;
    link.confirmed = true;
    tell(c, link.ticket, { kind: "migrated" });
    link.ticket = void 0;
    c.negotiation.up(c.now, link.key);
    dropOthers(c, link);
    stand(c, "up");
    c.wasUp = true;
    c.attempts = 0;
    c.notBeforeMs = -Infinity;
    c.inbox.note({ hear: "up", session: c.known.session, isResumed });
  }
  function dropOthers(c, { attach }) {
    for (const other of c.links.values()) if (other.attached && other.attach < attach) dropLink(c, other, REPLACED);
  }
  var counts = ({ known }, { attached, stated }) => attached && stated.incarnation === known?.incarnation;
  function handleItems(c, link, first, items) {
    if (!counts(c, link)) return;
    for (const [index, item] of items.entries()) {
      const ahead = first + index - c.inbox.received - 1;
      if (ahead > 0) return protocolError(c, link, "an item is missing");
      if (ahead === 0) take(c, item);
      link.useful = true;
      link.doubts = 0;
    }
    c.refusals = 0;
    if (c.inbox.isFlooded(c.limits)) protocolError(c, link, "the gateway sends beyond its windows");
  }
  function take(c, item) {
    const { inbox, outbox, wishes } = c;
    let isQuiet = false;
    if (item.type === "reply") {
      const done = outbox.reply(item.command);
      if (done) replied(c, done, item.error, item);
    } else if (item.type === "subscribed") {
      const done = outbox.reply(item.command);
      const place = inbox.positions.get(item.channel);
      isQuiet = done?.owner === "wish" && place?.epoch === item.position.epoch && place.offset === item.position.offset;
      if (done?.command.type === "subscribe") wishes.set(item.channel, done.command);
      tell(c, done?.owner, { kind: "subscribed", subscribed: item });
    } else if (item.type === "unsubscribed") {
      c.volatiles.forget(item.channel);
      wishes.delete(item.channel);
      tell(c, outbox.reply(item.command)?.owner, { kind: "unsubscribed" });
    }
    inbox.take(item, isQuiet);
  }
  function replied(c, { owner, command: command2 }, error, reply) {
    const { inbox, wishes } = c;
    if (error && typeof owner !== "number" && command2.type === "subscribe") {
      const { channel } = command2;
      if (owner === "renewal") {
        inbox.positions.delete(channel);
        wishes.delete(channel);
        inbox.note({ hear: "unsubscribed", number: void 0, item: { type: "unsubscribed", channel, reason: "revoked" }, error });
      } else if (inbox.positions.has(channel)) {
        wishes.set(channel, { ...command2, presence: false });
        inbox.note({ hear: "presenceLost", channel, error });
      }
    } else if (error) tell(c, owner, { kind: "rejected", error });
    else if (command2.type === "unsubscribe") tell(c, owner, { kind: "unsubscribed" });
    else if (command2.type === "send") tell(c, owner, { kind: "accepted", reply: reply ?? {} });
    else tell(c, owner, { kind: "rejected", error: { code: "internal", message: "a reply without what it is about", retryable: true } });
  }
  function refuse(c, number, { code, message }) {
    const done = c.outbox.reply(number);
    if (done) replied(c, done, { code, message, retryable: RETRYABLE.test(code) }, void 0);
    return !!done;
  }
  function handleAck(c, link, upTo) {
    if (upTo === void 0 || !counts(c, link) || !c.outbox.confirm(upTo)) return;
    link.useful = true;
    link.doubts = c.strikes = 0;
  }
  function handleRetry(c, link, { delayMs, spreadMs, reason, slot, transports, final }) {
    const waitMs = appointmentMs(delayMs, spreadMs, c.options.random);
    if (slot !== void 0) c.slot = slot;
    if (reason === "superseded") return superseded(c, link, waitMs);
    if (transports) c.negotiation.asked(transports);
    if (c.active !== link && (c.active || !link.carries)) {
      linkFailed(c, link, final ? "refused" : "drained", reason);
      return c.negotiation.leaveAlone(link.transport, c.now + waitMs);
    }
    if (reason === "unauthorized") return needCredentials(c);
    if (final) return stop(c, reason);
    if (reason === "protocol_error") return refused2(c, link, reason, waitMs);
    if (reason !== "positions") {
      c.positionsWanted ||= reason === "ended";
      return comeBack(c, link, reason, waitMs);
    }
    c.positionsWanted = true;
    const wasStated = !!link.stated.positions;
    if (link.isPolling && link.attached && !wasStated) {
      link.pollNotBeforeMs = c.now + waitMs;
      link.retrying = true;
    } else comeBack(c, link, "the gateway asks for positions", wasStated ? void 0 : waitMs);
  }
  function superseded(c, link, waitMs) {
    if (link.attach && link.attach === c.attach) {
      loseSession(c, link, "superseded", false, void 0);
      comeBack(c, link, "superseded", waitMs);
    } else if (c.active !== link) {
      const { attached } = link;
      dropLink(c, link, UNPROVEN);
      if (c.active && attached) confirm(c, c.active, true);
    } else if (link.isPolling) {
      link.retrying = true;
    } else {
      const reason = "superseded by an attach of this client";
      c.negotiation.ended(c.now, link.key, "late", reason);
      comeBack(c, link, reason, 0);
    }
  }

  // src/core/wishes.ts
  var AROUND_BYTES = 384;
  var largest = (c) => budget(c, {}) - AROUND_BYTES - (c.known?.token.length ?? 0);
  function command(c, wanted, ticket) {
    const bytes = sizeOf(wanted);
    if (isOver(c)) return tell(c, ticket, { kind: "closed" });
    if (bytes <= largest(c)) return c.outbox.push(wanted, ticket, bytes);
    const error = { code: "message_too_large", message: "larger than the gateway takes", retryable: false };
    tell(c, ticket, { kind: "rejected", error });
  }
  function sayVolatile(c, channel, name, payload2) {
    const link = c.active;
    if (!link || isOver(c)) return false;
    const seq = c.volatiles.number(wallMs(c));
    const volatile = { type: "volatile", channel, ...name !== void 0 && { name }, seq, ...payload2 };
    if (lengthOf(volatile) > largest(c)) return false;
    if (link.isDuplex) say(c, link, [volatile], true);
    else c.volatiles.wait(volatile);
    return true;
  }
  function migrate(c, transport, ticket) {
    if (isOver(c)) return stay(c, ticket, "the session is closed");
    if (!c.negotiation.isListed(transport)) return stay(c, ticket, "it is none of the transports of this client");
    if (!c.active) return stay(c, ticket, NO_LINK);
    c.negotiation.pin(transport);
    plan(c, { atMs: c.now, transport, ticket });
  }
  function authenticate(c, token) {
    c.auth = token;
    c.authExpiresAtMs = c.now + c.authExpiresInMs;
    const link = c.active;
    if (c.standing === "unauthorized") stand(c, "waiting", c.now);
    else if (!link || token === void 0) return;
    else if (link.isDuplex) say(c, link, [{ type: "auth", token }]);
    else postAlone(c, link, { type: "auth", token });
  }
  function networkChanged(c) {
    c.paused = void 0;
    c.negotiation.networkChanged();
    if (c.standing === "waiting" && !c.advised) {
      c.untilMs = Math.min(c.untilMs, c.now + appointmentMs(0, boundMs(c.guidance, 1), c.options.random));
    }
    if (!isOver(c)) askForLife(c);
  }
  function goOffline(c) {
    c.paused ??= "offline";
    c.negotiation.offline();
    if (c.standing === "opening") forgetLinks(c);
  }
  function freeze(c) {
    c.paused = "frozen";
    if (c.standing === "opening" || c.standing === "up") forgetLinks(c);
  }
  function forgetLinks(c) {
    dropAll(c);
    c.advised = c.notBeforeMs > c.now;
    c.reason = c.paused ?? "";
    stand(c, "waiting", Math.max(c.now, c.notBeforeMs));
  }
  function hide(c, isHidden) {
    c.isHidden = isHidden;
    const link = c.active;
    if (isHidden && link?.isPolling && link.confirmed && link.poll && !isOver(c)) pollAgain(c, link);
  }

  // src/core/core.ts
  var Core = class {
    #c;
    #saved;
    #savedOf = [];
    constructor(options) {
      this.#c = begin(options);
    }
    get state() {
      const { standing, active, attempts, reason, wasUp, paused, untilMs, now } = this.#c;
      const attempt3 = attempts + 1;
      if (isOver(this.#c)) return { name: "closed", reason };
      if (standing === "up" && active) return { name: "live", transport: active.transport };
      if (standing === "unauthorized") return { name: "waiting", reason, attempt: attempt3, retryAtMs: void 0 };
      if (standing === "waiting") {
        if (paused) return { name: "waiting", reason: paused, attempt: attempt3, retryAtMs: void 0 };
        if (untilMs > now) return { name: "waiting", reason, attempt: attempt3, retryAtMs: untilMs };
      }
      return wasUp ? { name: "recovering", reason, attempt: attempt3 } : { name: "connecting", attempt: attempt3 };
    }
    get hasRoom() {
      const { outbox, options } = this.#c;
      return outbox.next - outbox.low < Math.max(options.commands, 1);
    }
    get isClosed() {
      return this.#c.standing === "closed";
    }
    get session() {
      return this.#c.known?.session;
    }
    get user() {
      return this.#c.known?.user;
    }
    get authExpiresAtMs() {
      return this.#c.authExpiresAtMs;
    }
    get why() {
      return this.#c.negotiation.why;
    }
    get history() {
      return this.#c.negotiation.history.attempts;
    }
    get offers() {
      return this.#c.offers;
    }
    notBefore(transport) {
      return this.#c.negotiation.notBefore(transport);
    }
    get active() {
      return this.#c.active?.key;
    }
    get saved() {
      const { known, outbox, inbox, attach } = this.#c;
      if (!known || isOver(this.#c)) return void 0;
      if (this.#savedOf[0] !== known || this.#savedOf[1] !== outbox.revision) {
        this.#savedOf = [known, outbox.revision];
        const { user, ...names } = known;
        const whose = user === void 0 ? {} : { user };
        this.#saved = { ...names, ...whose, attach, after: inbox.received, ...outbox.save(), atMs: wallMs(this.#c) };
      }
      return this.#saved;
    }
    command(nowMs, wanted, ticket) {
      command(this.#at(nowMs), wanted, ticket);
    }
    volatile(nowMs, channel, name, payload2) {
      return sayVolatile(this.#at(nowMs), channel, name, payload2);
    }
    migrate(nowMs, transport, ticket) {
      migrate(this.#at(nowMs), transport, ticket);
    }
    authenticate(nowMs, token) {
      authenticate(this.#at(nowMs), token);
    }
    close(nowMs) {
      close(this.#at(nowMs));
    }
    holdBack(number) {
      this.#c.inbox.held = number;
    }
    handleOpened(nowMs, link) {
      this.#on(nowMs, link, (c, { key }) => c.negotiation.opened(nowMs, key));
    }
    handleFrames(nowMs, link, frames) {
      this.#on(nowMs, link, (c, on) => handleFrames(c, on, frames));
    }
    handleAlive(nowMs, link) {
      this.#on(nowMs, link, handleAlive);
    }
    handleAnswer(nowMs, link, attach, frames) {
      this.#on(nowMs, link, (c, on) => handleAnswer(c, on, attach, frames));
    }
    handlePosted(nowMs, link, post2, answer) {
      this.#on(nowMs, link, (c, on) => handlePosted(c, on, post2, answer));
    }
    handleEnded(nowMs, link, end) {
      this.#on(nowMs, link, (c, on) => handleEnded(c, on, end));
    }
    handleNetworkChanged(nowMs) {
      networkChanged(this.#at(nowMs));
    }
    handleOffline(nowMs) {
      goOffline(this.#at(nowMs));
    }
    handleHidden(nowMs, isHidden) {
      hide(this.#at(nowMs), isHidden);
    }
    handleFrozen(nowMs) {
      freeze(this.#at(nowMs));
    }
    settle(nowMs) {
      const c = this.#at(nowMs);
      expire(c);
      while (!isOver(c) && c.standing !== "unauthorized") {
        if (isDue(c)) attempt2(c);
        moveIfDue(c);
        negotiate(c);
        waitIfAlone(c);
        if (isDue(c)) continue;
        speak(c);
        break;
      }
      const news = c.negotiation.pollVerdict(wallMs(c));
      if (news) c.outputs.push({ do: "remember", verdict: news.verdict });
      c.dueMs = Math.max(nowMs, this.deadline());
    }
    pollOutput() {
      return this.#c.outputs.shift();
    }
    pollIncoming() {
      return this.#c.inbox.poll();
    }
    deadline() {
      const c = this.#c;
      if (c.standing === "closing") return c.untilMs;
      if (c.standing === "closed" || c.standing === "unauthorized") return Infinity;
      const attemptMs = c.standing === "waiting" && !c.paused ? c.untilMs : Infinity;
      const links = [...c.links.values()].map((link) => linkDeadline(c, link));
      return Math.min(attemptMs, c.planned?.atMs ?? Infinity, c.negotiation.deadline(), ...links);
    }
    #at(nowMs) {
      this.#c.now = nowMs;
      return this.#c;
    }
    /** What is said of a link that is gone means nothing. */
    #on(nowMs, key, then) {
      const c = this.#at(nowMs);
      const link = c.links.get(key);
      if (link) then(c, link);
    }
  };
  var isDue = ({ standing, paused, untilMs, now }) => standing === "waiting" && !paused && untilMs <= now;

  // src/core/timing.ts
  var defaultTiming = {
    connectMs: 5e3,
    welcomeMs: 1e4,
    pollHoldMs: 25e3,
    pollGraceMs: 1e3,
    hiddenPollMs: 2e4,
    postMs: 1e4,
    doubtMs: 750,
    pongMs: 750,
    ackDelayMs: 200,
    staggerMs: 250,
    probeMs: 5e3,
    joinFirstMs: 250,
    joinBackMs: 1e3,
    reprobeMs: 5e3,
    reprobeCapMs: 6e4,
    settledMs: 3e4,
    goodbyeMs: 1e3
  };

  // src/patience.ts
  var BASE_MS = 1e3;
  var CAP_MS = 3e4;
  function backoffMs(failures, random) {
    return failures && random() * Math.min(CAP_MS, BASE_MS * 2 ** (failures - 1));
  }
  function unlessAborted(promise, signal) {
    if (!signal) return promise;
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort);
      promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }

  // src/payload.ts
  var DEPTH = 128;
  var QUOTED = 64;
  function must(isSo, rule, came) {
    if (isSo) return;
    const text2 = typeof came === "string" || typeof came === "object" ? JSON.stringify(came) : String(came);
    throw new TypeError(`${rule}, not ${text2.length > QUOTED ? `${text2.slice(0, QUOTED)}…` : text2}`);
  }
  function payloadOf(data) {
    if (data === void 0) return {};
    const bytes = bytesOf2(data);
    if (bytes) return { bytes: bytes.slice() };
    const text2 = JSON.stringify(data);
    if (text2 === void 0) throw new TypeError("this is no JSON");
    const payload2 = JSON.parse(text2.replace(/\\(\\|ud[89a-f]..)/g, (escape) => escape === "\\\\" ? escape : "�"));
    if (depth(payload2) > DEPTH) throw new TypeError(`this is deeper than ${DEPTH} levels`);
    return { data: payload2 };
  }
  function bytesOf2(data) {
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return data instanceof ArrayBuffer ? new Uint8Array(data) : void 0;
  }
  function checkChannel(channel) {
    const isName = typeof channel === "string" && /^[\w.~:@$=-]{1,200}$/.test(channel);
    must(isName, "a channel is 1 to 200 of A-Z a-z 0-9 . _ ~ : @ $ = -", channel);
    return channel;
  }
  function checkFrom(from) {
    if (from === "now") return from;
    const { last, position } = from;
    const isSo = isCount2(last) ? position === void 0 : last === void 0 && isPosition(position);
    must(isSo, "from is 'now', { last } or { position: { epoch, offset } }, with whole numbers from 0", from);
    return position ? { position: { epoch: position.epoch, offset: position.offset } } : { last };
  }
  function isPosition(position) {
    const { epoch, offset } = Object(position);
    return typeof epoch === "string" && /^[!-~]{1,32}$/.test(epoch) && isCount2(offset);
  }
  function checkText(what, text2, mostBytes) {
    const isText2 = typeof text2 === "string";
    const bytes = new TextEncoder().encode(text2);
    must(isText2 && bytes.length <= mostBytes, `${what} is a text of at most ${mostBytes} bytes`, isText2 && what === "token" ? "…" : text2);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }
  function checkMeta(meta2) {
    const entries = Object.entries(meta2);
    const isNamed = entries.length <= 16 && entries.every(([name]) => /^[a-z0-9-]{1,32}$/.test(name));
    must(isNamed && typeof meta2 === "object", "meta is at most 16 texts with names of a-z 0-9 -", meta2);
    const texts = entries.map(([name, value]) => [name, checkText(`meta.${name}`, value, 1024)]);
    checkText("all of meta", entries.flat().join(""), 1024);
    return Object.fromEntries(texts);
  }
  function isCount2(number) {
    return Number.isSafeInteger(number) && number >= 0;
  }
  function depth(value) {
    if (typeof value !== "object" || !value) return 0;
    return Object.values(value).reduce((deepest, inner) => Math.max(deepest, 1 + depth(inner)), 1);
  }

  // src/credentials.ts
  var PATIENCE_MS = 3e4;
  var AHEAD_MS = 3e4;
  var Credentials = class {
    #options;
    /** What is waited for; nothing while nothing is. `retryAt` by `Clock.wall`. */
    status;
    #running;
    #cancel;
    #cancelExpiry;
    #expiresAtMs = Infinity;
    /** In a row: calls that failed, and credentials that were refused. */
    #failures = 0;
    /** Whether credentials were given that nobody has taken yet. */
    #isUntried = false;
    #isOver = false;
    constructor(options) {
      this.#options = options;
    }
    /** They are wanted. */
    ask(reason) {
      if (this.#isOver || this.status) return;
      if (this.#isUntried && reason === "unauthorized") this.#failures++;
      this.#isUntried = false;
      this.#wait(reason, "waits for credentials");
    }
    /** The gateway has taken them, until `expiresAtMs` (`Clock.now`). */
    taken(expiresAtMs) {
      this.#isUntried = false;
      if (!this.status) this.#failures = 0;
      if (expiresAtMs === this.#expiresAtMs) return;
      this.#expiresAtMs = expiresAtMs;
      this.#cancelExpiry?.();
      if (expiresAtMs === Infinity) return;
      const leftMs = expiresAtMs - this.#options.clock.now();
      this.#cancelExpiry = this.#options.clock.after(leftMs - Math.min(AHEAD_MS, leftMs / 2), () => this.ask("expiring"));
    }
    end() {
      this.#isOver = true;
      this.#running?.abort();
      this.#cancel?.();
      this.#cancelExpiry?.();
    }
    #wait(reason, why) {
      const { clock, random } = this.#options;
      const delayMs = backoffMs(this.#failures, random);
      this.status = delayMs ? { reason: why, retryAt: clock.wall() + delayMs } : { reason: why };
      this.#options.changed();
      if (delayMs) this.#cancel = clock.after(delayMs, () => this.#call(reason));
      else this.#call(reason);
    }
    #call(reason) {
      const { auth, clock, give } = this.#options;
      const running = this.#running = new AbortController();
      const { signal } = running;
      this.#cancel = clock.after(PATIENCE_MS, () => running.abort(new Error("they did not come")));
      const asked = new Promise((resolve) => resolve(auth({ reason, signal })));
      unlessAborted(asked, signal).then((token) => token === void 0 ? token : checkText("token", token, 8192) || void 0).finally(() => this.#cancel?.()).then(
        (token) => {
          if (this.#isOver) return;
          this.status = void 0;
          this.#isUntried = true;
          give(token);
        },
        (error) => {
          if (this.#isOver) return;
          this.#failures++;
          this.#wait(reason, `no credentials: ${error instanceof Error ? error.message : String(error)}`);
        }
      );
    }
  };

  // src/driver.ts
  var Driver = class {
    #clock;
    #surroundings;
    #transports;
    #audience;
    #core;
    #isWoken = false;
    #isOver = false;
    /** What was wanted before there was a core. */
    #early = [];
    /** Commands that wait until the core has room. */
    #queue = [];
    #tickets = 0;
    #waiting = /* @__PURE__ */ new Map();
    #links = /* @__PURE__ */ new Map();
    #timer;
    constructor(surroundings, transports, audience) {
      this.#clock = surroundings.clock;
      this.#surroundings = surroundings;
      this.#transports = transports;
      this.#audience = audience;
    }
    /** Begins, once it is known what the page before has left. */
    start(core) {
      this.#core = core;
      for (const change of this.#early.splice(0)) this.change(change);
      this.#wake();
    }
    /** Changes the core, now or when there is one. */
    change(change) {
      if (this.#isOver) return;
      if (!this.#core) {
        this.#early.push(change);
        return;
      }
      change(this.#core, this.#clock.now());
      this.#wake();
    }
    /** Numbers a command in its turn. `settle` is told within a turn, before anything is heard. */
    request(command2, settle) {
      if (this.#isOver) {
        settle({ kind: "closed" });
        return;
      }
      this.#queue.push({ command: command2, settle });
      this.#wake();
    }
    /** A ticket for something that is settled later. */
    ticket(settle) {
      this.#waiting.set(++this.#tickets, settle);
      return this.#tickets;
    }
    /** Waits for what the core settles under a ticket of its own: a command of the page before. */
    await(ticket, settle) {
      this.#waiting.set(ticket, settle);
    }
    /** Drops the link there is, as a failing network would. */
    cut() {
      this.change((core, nowMs) => {
        const link = core.active;
        if (link === void 0) return;
        this.#close(link, false);
        core.handleEnded(nowMs, link, { kind: "lost", reason: "cut" });
      });
    }
    #wake() {
      if (this.#isWoken || !this.#core) return;
      this.#isWoken = true;
      queueMicrotask(() => this.#turn());
    }
    #turn() {
      this.#isWoken = false;
      const core = this.#core;
      if (!core || this.#isOver) return;
      const nowMs = this.#clock.now();
      while (core.hasRoom) {
        const next = this.#queue.shift();
        if (!next) break;
        core.command(nowMs, next.command, this.ticket(next.settle));
      }
      core.settle(nowMs);
      this.#audience.keep(core.saved);
      this.#audience.settled(core);
      for (let output = core.pollOutput(); output; output = core.pollOutput()) this.#perform(output);
      if (core.isClosed) this.#finish();
      let hasHeard = false;
      for (let incoming = core.pollIncoming(); incoming; incoming = core.pollIncoming()) {
        hasHeard = true;
        this.#audience.hear(incoming);
      }
      this.#audience.turned(core);
      if (hasHeard) this.#wake();
      this.#setTimer(core.deadline());
    }
    #perform(output) {
      switch (output.do) {
        case "open":
          return this.#open(output);
        case "poll":
          return this.#links.get(output.link)?.poll(output.attach, output.message);
        case "post":
          return this.#links.get(output.link)?.post(output.post, output.message);
        case "transmit": {
          const link = this.#links.get(output.link);
          return output.isVolatile ? link?.transmitVolatile(output.message) : link?.transmit(output.message);
        }
        case "close":
          return this.#close(output.link, output.inPeace);
        case "remember":
          return this.#audience.remember(output.verdict);
        case "settle":
          return this.#settle(output.ticket, output.outcome);
      }
    }
    #open({ link, transport, offer, hello }) {
      const ended = (end) => {
        this.#links.delete(link);
        this.change((core, nowMs) => core.handleEnded(nowMs, link, end));
      };
      const events = {
        opened: () => this.change((core, nowMs) => core.handleOpened(nowMs, link)),
        received: (frames) => this.change((core, nowMs) => core.handleFrames(nowMs, link, frames)),
        alive: () => this.change((core, nowMs) => core.handleAlive(nowMs, link)),
        answered: (attach, frames) => this.change((core, nowMs) => core.handleAnswer(nowMs, link, attach, frames)),
        posted: (post2, answer) => this.change((core, nowMs) => core.handlePosted(nowMs, link, post2, answer)),
        ended
      };
      try {
        const opened = this.#transports.find(({ name }) => name === transport)?.open({ ...this.#surroundings, offer, hello, events });
        if (opened) this.#links.set(link, opened);
      } catch (error) {
        ended({ kind: "failed", outcome: "refused", reason: String(error) });
      }
    }
    #close(link, inPeace) {
      this.#links.get(link)?.close(inPeace);
      this.#links.delete(link);
    }
    #settle(ticket, outcome) {
      const settle = this.#waiting.get(ticket);
      this.#waiting.delete(ticket);
      settle?.(outcome);
    }
    /** Nothing more will happen. */
    #finish() {
      this.#isOver = true;
      for (const link of [...this.#links.keys()]) this.#close(link, false);
      for (const { settle } of this.#queue.splice(0)) settle({ kind: "closed" });
      for (const ticket of [...this.#waiting.keys()]) this.#settle(ticket, { kind: "closed" });
    }
    #setTimer(atMs) {
      if (this.#timer?.atMs === atMs && !this.#isOver) return;
      this.#timer?.cancel();
      this.#timer = void 0;
      if (this.#isOver || atMs === Infinity) return;
      const cancel = this.#clock.after(Math.max(0, atMs - this.#clock.now()), () => {
        this.#timer = void 0;
        this.#turn();
      });
      this.#timer = { atMs, cancel };
    }
  };

  // src/errors.ts
  var ThroughlineError = class extends Error {
    name = "ThroughlineError";
    /** Which one it is, for a program. */
    code;
    constructor(code, message) {
      super(message);
      this.code = code;
    }
  };
  var Rejected = class extends ThroughlineError {
    name = "Rejected";
    /** Whether the same may succeed later, unchanged. */
    retryable;
    constructor({ code, message, retryable }) {
      super(code, message);
      this.retryable = retryable;
    }
  };
  var OutcomeUnknown = class extends ThroughlineError {
    name = "OutcomeUnknown";
    constructor() {
      super("outcome_unknown", "the session was lost before the reply came");
    }
  };
  var SessionClosed = class extends ThroughlineError {
    name = "SessionClosed";
    /** `closed`, or the gateway's word (`disconnected`, `forbidden`, …). */
    reason;
    constructor(reason) {
      super("session_closed", `the session is closed: ${reason}`);
      this.reason = reason;
    }
  };
  var NotMigrated = class extends ThroughlineError {
    name = "NotMigrated";
    constructor(reason) {
      super("not_migrated", reason);
    }
  };
  function errorOf(outcome, reason) {
    switch (outcome.kind) {
      case "rejected":
        return new Rejected(outcome.error);
      case "unknown":
        return new OutcomeUnknown();
      case "stayed":
        return new NotMigrated(outcome.reason);
      default:
        return new SessionClosed(reason);
    }
  }

  // src/explain.ts
  function explain(core, state2, clock, transports, codec, kept) {
    const nowMs = clock.now();
    const attempts = (core?.history ?? []).map(({ atMs, ...attempt3 }) => {
      const againInMs = (core?.notBefore(attempt3.transport) ?? 0) - nowMs;
      return { ...attempt3, agoMs: nowMs - atMs, ...againInMs > 0 && { againInMs } };
    });
    const transport = state2.name === "live" ? state2.transport : void 0;
    const why = core?.why ?? "";
    const names = transports.map(({ name }) => name);
    return {
      transport,
      codec,
      why,
      state: state2,
      attempts,
      offers: core?.offers ?? [],
      kept,
      toString() {
        if (state2.name === "closed") return `closed: ${state2.reason}`;
        const better = transport ? names.slice(0, names.indexOf(transport)) : names;
        const failed = better.flatMap((name2) => attempts.filter((attempt3) => attempt3.transport === name2 && attempt3.outcome !== "preferred").slice(-1)).filter(({ outcome }) => outcome !== "proven").map(told2);
        if (transport) return `${transport}, because ${failed.join(", and ") || why}`;
        const { name } = state2;
        const reason = "reason" in state2 ? ` (${state2.reason})` : "";
        const next = "retryAt" in state2 ? `, again in ${seconds(state2.retryAt - clock.wall())}` : "";
        return [`${name}${reason}${next}`, ...failed].join("; ");
      }
    };
  }
  function told2({ transport, outcome, reason, agoMs, againInMs }) {
    if (outcome === "unsupported") return `${transport} cannot be had (${reason})`;
    const how = reason.startsWith(outcome) ? reason : `${outcome} (${reason})`;
    return `${transport} was ${how} ${seconds(agoMs)} ago${againInMs === void 0 ? "" : ` and is tried again in ${seconds(againInMs)}`}`;
  }
  function seconds(ms) {
    return `${Math.max(0, Math.round(ms / 1e3))} s`;
  }

  // src/listeners.ts
  var Listeners = class {
    #sets = /* @__PURE__ */ new Map();
    on(name, hear, { signal } = {}) {
      const listener = { hear };
      const set = this.#sets.get(name) ?? /* @__PURE__ */ new Set();
      this.#sets.set(name, set);
      const off = () => {
        set.delete(listener);
        signal?.removeEventListener("abort", off);
      };
      if (!signal?.aborted) {
        set.add(listener);
        signal?.addEventListener("abort", off);
      }
      return off;
    }
    tell(name, what) {
      const set = this.#sets.get(name);
      for (const listener of set ? [...set] : []) {
        if (set?.has(listener)) shielded(() => listener.hear(what));
      }
    }
  };
  function shielded(run) {
    try {
      run();
    } catch (error) {
      if (typeof reportError === "function") reportError(error);
      else console.error(error);
    }
  }

  // src/snapshot.ts
  var OVERLAP = 20;
  var MOST_WAITING = 1024;
  var Snapshots = class {
    #options;
    /** Whether a snapshot was told: before it there is nothing to show. */
    hasTold = false;
    /** Why what was told is not what is. */
    trouble;
    /** What the last fetch threw. */
    error;
    /** Where the subscription began, or goes on behind a gap; nothing before it stands. */
    #need;
    /** Up to where the last snapshot that was told goes. */
    #covered;
    /** The events that wait for a snapshot; nothing where none is awaited. */
    #waiting = [];
    /** A snapshot that came before the subscription stood. */
    #early;
    #running;
    #takeBack;
    #failures = 0;
    /** Snapshots in a row that were not there yet. */
    #tooOld = 0;
    #isOver = false;
    constructor(options) {
      this.#options = options;
      this.#fetch("first", 0);
    }
    /** The subscription stands here. */
    begin(position) {
      this.#need = position;
      const early = this.#early;
      this.#early = void 0;
      if (early) this.#judge(early);
    }
    event(event) {
      if (reaches(this.#covered, event.position)) return;
      if (!this.#waiting) {
        this.#options.tell(event);
        return;
      }
      this.#waiting.push(event);
      if (this.#waiting.length > MOST_WAITING) this.#need = this.#waiting.shift()?.position;
    }
    gap(gap) {
      if (reaches(this.#covered, gap.to)) return;
      this.#options.tell(gap);
      this.#need = gap.to;
      this.#waiting = [];
      this.trouble ??= "gap";
      this.#again("gap");
    }
    /** Fetches it for somebody who joined late. Events wait meanwhile, so that none is told twice. */
    refresh(position) {
      if (this.#waiting) return;
      this.#need = position;
      this.#waiting = [];
      this.#again("refresh");
    }
    end() {
      this.#isOver = true;
      this.#running?.abort();
      this.#takeBack?.();
    }
    /** One is wanted that is newer than what is under way, if something is. */
    #again(reason) {
      this.#tooOld = 0;
      if (this.#running) this.#running.abort();
      else this.#fetch(reason, 0);
    }
    #fetch(reason, delayMs) {
      this.#takeBack?.();
      if (delayMs) {
        this.#takeBack = this.#options.clock.after(delayMs, () => this.#run(reason));
        return;
      }
      let isWanted = true;
      this.#takeBack = () => isWanted = false;
      queueMicrotask(() => isWanted && this.#run(reason));
    }
    #run(reason) {
      this.#takeBack = void 0;
      const { signal } = this.#running = new AbortController();
      new Promise((resolve) => resolve(this.#options.fetch({ signal, reason }))).then(
        (snapshot) => {
          this.#running = void 0;
          this.#failures = 0;
          if (!this.#isOver) this.#judge(snapshot);
        },
        (error) => {
          this.#running = void 0;
          if (this.#isOver) return;
          if (signal.aborted) this.#fetch("gap", 0);
          else this.#failed(reason, error, ++this.#failures);
        }
      );
    }
    #failed(reason, error, failures) {
      this.trouble = "snapshot";
      this.error = error;
      this.#fetch(reason, backoffMs(failures, this.#options.random));
      this.#options.changed();
    }
    #judge(snapshot) {
      if (!this.#need) {
        this.#early = snapshot;
      } else if (reaches(snapshot.position, this.#need)) {
        const waiting = this.#waiting ?? [];
        this.#covered = snapshot.position;
        this.#waiting = this.trouble = this.error = void 0;
        this.#tooOld = 0;
        this.hasTold = true;
        this.#options.tell({ type: "snapshot", ...snapshot });
        for (const event of waiting) this.event(event);
        this.#options.changed();
      } else if (this.#tooOld++) {
        this.#failed("gap", new Error("the snapshot is older than what it is to replace"), this.#tooOld - 1);
      } else {
        this.#fetch(this.hasTold ? "gap" : "first", 0);
      }
    }
  };
  function reaches(place, other) {
    return place?.epoch === other.epoch && place.offset >= other.offset;
  }

  // src/freshness.ts
  function freshness(before, facts) {
    const { hasEnded, isFilled, isCarried, trouble } = facts;
    const error = facts.error === void 0 || hasEnded ? {} : { error: facts.error };
    const reason = hasEnded ? "ended" : !isCarried ? "recovering" : trouble;
    const sinceMs = before.name === "stale" ? before.sinceMs : facts.wallMs;
    const now = !isFilled && !hasEnded ? { name: "loading", ...error } : reason ? { name: "stale", sinceMs, reason, ...error } : { name: "live" };
    return isSame(before, now) ? before : now;
  }
  function isSame(a, b) {
    return a.name === b.name && a.reason === b.reason && a.error === b.error;
  }

  // src/iteration.ts
  var Iteration = class {
    #changed;
    #queue = [];
    #wanting = [];
    #end;
    /** `changed` is told whenever `oldest` may be another, and when it is done with. */
    constructor(changed) {
      this.#changed = changed;
    }
    /** The number of the oldest item that the loop has not taken. */
    get oldest() {
      return this.#queue.find(({ number }) => number !== void 0)?.number;
    }
    /** Whether nothing more comes out of it. */
    get isDone() {
      return !!this.#end && !this.#queue.length;
    }
    push(value, number) {
      if (this.#end) return;
      const wanting = this.#wanting.shift();
      if (wanting) return wanting.resolve({ value, done: false });
      this.#queue.push({ value, number });
      this.#changed(this);
    }
    /** The session is lost: its numbers mean nothing any more. */
    disown() {
      for (const waiting of this.#queue) waiting.number = void 0;
    }
    /** Nothing more comes; what waits is still taken. Then the loop ends, or throws. */
    finish(error) {
      this.#end ??= error === void 0 ? {} : { error };
      this.disown();
      for (const { resolve, reject } of this.#wanting.splice(0)) {
        if (error === void 0) resolve({ value: void 0, done: true });
        else reject(error);
      }
      this.#changed(this);
    }
    next() {
      const waiting = this.#queue.shift();
      if (waiting) {
        this.#changed(this);
        return Promise.resolve({ value: waiting.value, done: false });
      }
      if (!this.#end) return new Promise((resolve, reject) => this.#wanting.push({ resolve, reject }));
      const { error } = this.#end;
      this.#end = {};
      return error === void 0 ? Promise.resolve({ value: void 0, done: true }) : Promise.reject(error);
    }
    return() {
      this.#queue.length = 0;
      this.finish();
      return Promise.resolve({ value: void 0, done: true });
    }
    [Symbol.asyncIterator]() {
      return this;
    }
  };

  // src/subscription.ts
  var MOST_WAITING2 = 1024;
  var Subscription = class {
    name;
    subscribed;
    position;
    freshness = { name: "loading" };
    members = /* @__PURE__ */ new Map();
    end;
    /** The number of the command whose `subscribed` is this one's. */
    command;
    /** How often it was subscribed and not left. */
    count = 0;
    /** Whether it takes part in presence. */
    presence = false;
    /** Whether it stands; otherwise it is not subscribed yet, or being renewed in a new session. */
    stands = false;
    #host;
    #listeners = new Listeners();
    #iterations = /* @__PURE__ */ new Set();
    #snapshots;
    /** The place after all items that came. */
    #heard;
    /** What nobody has listened to yet. */
    #unheard = [];
    /** Up to where of that was dropped. */
    #dropped;
    #resolve;
    #reject;
    constructor(name, host) {
      this.name = name;
      this.#host = host;
      this.subscribed = new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
      this.subscribed.catch(() => {
      });
    }
    get me() {
      return this.#host.id;
    }
    get hasSnapshot() {
      return !!this.#snapshots;
    }
    get wasHeard() {
      return !this.#unheard;
    }
    on(name, listener, options) {
      if (name === "event" || name === "gap" || name === "snapshot") this.#catchUp();
      return this.#listeners.on(name, listener, options);
    }
    [Symbol.asyncIterator]() {
      const iteration = new Iteration((changed) => {
        if (changed.isDone) this.#iterations.delete(changed);
        this.#host.held(changed);
      });
      this.#iterations.add(iteration);
      this.#catchUp();
      if (this.end) iteration.finish(this.end.error);
      return iteration;
    }
    send(data, options) {
      return this.#host.send(this.name, data, options);
    }
    sendVolatile(data, options) {
      return this.#host.sendVolatile(this.name, data, options);
    }
    refresh() {
      this.#snapshots?.refresh(this.#heard);
    }
    async leave() {
      if (!this.end && --this.count <= 0) await this.#host.leave(this);
    }
    // What the session tells it.
    /** Somebody has subscribed. */
    join({ snapshot, signal }) {
      this.count++;
      const leave = () => void this.leave();
      if (signal?.aborted) queueMicrotask(leave);
      signal?.addEventListener("abort", leave, { once: true });
      if (!snapshot || this.end) return;
      if (this.#snapshots) {
        if (!this.#unheard) this.refresh();
        return;
      }
      const { clock, random } = this.#host;
      this.#snapshots = new Snapshots({
        fetch: snapshot,
        clock,
        random,
        tell: (happening) => this.#tell(happening),
        changed: () => this.judgeFreshness()
      });
      if (this.#heard) this.#snapshots.begin(this.#heard);
    }
    /** It stands: for the first time, in a new session, or after its presence was asked for. */
    begin(item) {
      const before = this.#heard;
      this.stands = true;
      if (!before) {
        this.#heard = this.position = item.position;
        this.#snapshots?.begin(item.position);
      } else if (item.recovered && (before.epoch !== item.position.epoch || before.offset !== item.position.offset)) {
        this.gap({ type: "gap", channel: this.name, from: before, to: item.position, exact: false, reason: "overflow" }, void 0);
      }
      this.#resolve?.(item);
      this.#listeners.tell("subscribed", item);
    }
    event(item, number, epoch) {
      const position = this.#heard = { epoch, offset: item.offset };
      const event = { name: void 0, data: void 0, ...item, position, number };
      if (this.#snapshots) this.#snapshots.event(event);
      else this.#tell(event);
    }
    gap(item, number) {
      this.#heard = item.to;
      const gap = { ...item, channel: this.name, number };
      if (this.#snapshots) this.#snapshots.gap(gap);
      else this.#tell(gap);
    }
    presenceChanged({ kind, members, count }) {
      const here = new Map(kind === "state" ? [] : this.members);
      for (const member2 of members) {
        if (kind === "leave") here.delete(member2.session);
        else here.set(member2.session, member2);
      }
      this.members = here;
      this.#listeners.tell("presence", { kind, members, count });
    }
    /** It does not take part any more, and may be asked to again. */
    presenceLost(error) {
      this.presence = false;
      this.members = /* @__PURE__ */ new Map();
      this.#listeners.tell("presence", { kind: "state", members: [], count: 0, error });
    }
    volatile({ type: _, seq: __, ...volatile }) {
      this.#listeners.tell("volatile", volatile);
    }
    /** Nothing more comes. */
    finish(end) {
      if (this.end) return;
      this.end = end;
      this.stands = false;
      this.#snapshots?.end();
      this.#reject?.(end.error ?? new SessionClosed(end.reason));
      for (const iteration of [...this.#iterations]) iteration.finish(end.error);
      this.#listeners.tell("unsubscribed", end);
      this.judgeFreshness();
    }
    /** Tells how fresh it is, if that has changed. */
    judgeFreshness() {
      const now = freshness(this.freshness, {
        hasEnded: !!this.end,
        isFilled: this.#snapshots ? this.#snapshots.hasTold : !!this.#heard,
        isCarried: this.stands && this.#host.isLive,
        trouble: this.#snapshots?.trouble,
        error: this.#snapshots?.error,
        wallMs: this.#host.clock.wall()
      });
      if (now === this.freshness) return;
      this.freshness = now;
      this.#listeners.tell("freshness", now);
    }
    /** The first who listens hears what came before, in its turn. */
    #catchUp() {
      if (!this.#unheard) return;
      queueMicrotask(() => {
        const unheard = this.#unheard ?? [];
        const to = this.#dropped;
        this.#unheard = this.#dropped = void 0;
        if (to && this.#snapshots) {
          this.refresh();
          return;
        }
        if (to) this.#tell({ type: "gap", channel: this.name, to, exact: false, reason: "overflow" });
        for (const happening of unheard) this.#tell(happening);
      });
    }
    #tell(happening) {
      const place = happening.type === "gap" ? happening.to : happening.position;
      this.position = place;
      if (this.#unheard) {
        this.#unheard.push(happening);
        if (this.#unheard.length > MOST_WAITING2) {
          const dropped = this.#unheard.shift();
          if (dropped) this.#dropped = dropped.type === "gap" ? dropped.to : dropped.position;
        }
        return;
      }
      const number = happening.number;
      for (const iteration of this.#iterations) iteration.push(happening, number);
      if (happening.type === "event") this.#listeners.tell("event", happening);
      else if (happening.type === "gap") this.#listeners.tell("gap", happening);
      else this.#listeners.tell("snapshot", happening);
    }
  };

  // src/open-session.ts
  var UNAUTHORIZED = "unauthorized";
  var VOLATILE_BYTES = 4096;
  var PREFETCH_MS = 3e4;
  var OpenSession = class {
    restored;
    clock;
    random;
    state = { name: "connecting", attempt: 1 };
    isResumed = false;
    #options;
    #driver;
    #credentials;
    #listeners = new Listeners();
    #channels = /* @__PURE__ */ new Map();
    /** Channels that are being left, and how often. */
    #leaving = /* @__PURE__ */ new Map();
    #held = /* @__PURE__ */ new Set();
    #closed;
    #core;
    #restore = () => {
    };
    #close = () => {
    };
    #hasSaved = false;
    #wasUp = false;
    /** The application wants to hear nothing more. */
    #isClosing = false;
    #heldBack;
    /** When the next attempt is, by both clocks. */
    #retry = { atMs: -Infinity, wallMs: 0 };
    constructor(options) {
      const { surroundings, transports, random, auth } = options;
      const { clock } = surroundings;
      this.clock = clock;
      this.random = random;
      this.#options = options;
      this.#driver = new Driver(surroundings, transports, this);
      this.#closed = new Promise((resolve) => this.#close = resolve);
      this.restored = new Promise((resolve) => this.#restore = resolve);
      this.#credentials = auth && new Credentials({
        auth,
        clock,
        random,
        give: (token) => this.change((core, nowMs) => core.authenticate(nowMs, token)),
        changed: () => this.#core && this.settled(this.#core)
      });
    }
    /** Begins, once it is known what the page before has left. */
    start(core, saved) {
      this.#core = core;
      this.#hasSaved = !!saved;
      this.#restore(this.#takeUp(saved));
      this.#driver.start(core);
      this.#credentials?.ask("start");
    }
    /** Tells the core what the world did. */
    get change() {
      return (change) => this.#driver.change(change);
    }
    // What the application asks for.
    get id() {
      return this.#core?.session;
    }
    get user() {
      return this.#core?.user;
    }
    get isLive() {
      return this.state.name === "live";
    }
    on(name, listener, options) {
      return this.#listeners.on(name, listener, options);
    }
    ready({ signal } = {}) {
      let off = () => {
      };
      const ready = new Promise((resolve, reject) => {
        const look = ({ state: state2 } = this) => {
          if (state2.name === "live") resolve();
          else if (state2.name === "closed") reject(new SessionClosed(state2.reason));
        };
        off = this.on("state", () => look());
        look();
      });
      return unlessAborted(ready, signal).finally(() => off());
    }
    subscribe(channel, options = {}) {
      const { from, presence = false, snapshot, token } = options;
      must(typeof presence === "boolean", "presence is true or false", presence);
      const command2 = {
        type: "subscribe",
        channel: checkChannel(channel),
        from: checkFrom(from ?? (snapshot ? { last: OVERLAP } : "now")),
        presence,
        ...token !== void 0 && { token: checkText("token", token, 8192) }
      };
      let held = this.#channels.get(channel);
      const isNew = !held;
      held ??= new Subscription(channel, this);
      if (isNew) this.#channels.set(channel, held);
      if (isNew || presence && !held.presence) {
        held.presence = presence;
        this.#subscribe(held, command2);
      }
      held.join(options);
      return held;
    }
    prefetch(channel, { forMs = PREFETCH_MS, ...options } = {}) {
      const held = this.subscribe(channel, options);
      const cancel = this.clock.after(forMs, () => void held.leave());
      held.on("unsubscribed", cancel);
      return held;
    }
    async send(channel, data, options = {}) {
      const { signal, heard } = options;
      const command2 = sendOf(channel, data, options);
      signal?.throwIfAborted();
      const replied2 = new Promise((resolve, reject) => {
        this.#driver.request(command2, (outcome) => {
          heard?.(outcome);
          this.#answer(outcome, resolve, reject);
        });
      });
      return unlessAborted(replied2, signal);
    }
    sendVolatile(channel, data, { name } = {}) {
      const payload2 = payloadOf(data);
      const bytes = payload2.bytes ?? new TextEncoder().encode(JSON.stringify(payload2.data));
      if (name !== void 0) name = checkText("name", name, 200);
      if (!this.isLive || !this.#standingChannel(checkChannel(channel)) || bytes.length > VOLATILE_BYTES) return false;
      let isPassed = false;
      this.change((core, nowMs) => isPassed = core.volatile(nowMs, channel, name, payload2));
      return isPassed;
    }
    migrate(transport, { signal } = {}) {
      const moved = new Promise((resolve, reject) => {
        const settle = (outcome) => {
          if (outcome.kind === "migrated") resolve();
          else reject(errorOf(outcome, this.#reason));
        };
        if (this.state.name === "closed") settle({ kind: "closed" });
        else this.change((core, nowMs) => core.migrate(nowMs, transport, this.#driver.ticket(settle)));
      });
      return unlessAborted(moved, signal);
    }
    explain() {
      const { surroundings, transports, kept } = this.#options;
      return explain(this.#core, this.state, this.clock, transports, surroundings.codec.name, kept.status);
    }
    networkChanged() {
      this.change((core, nowMs) => core.handleNetworkChanged(nowMs));
    }
    cut() {
      this.#driver.cut();
    }
    close() {
      this.#isClosing = true;
      this.change((core, nowMs) => core.close(nowMs));
      return this.#closed;
    }
    // What its subscriptions ask for.
    async leave(subscription) {
      const { name: channel } = subscription;
      this.#channels.delete(channel);
      subscription.finish({ reason: "requested" });
      if (this.state.name === "closed") return;
      this.#leaving.set(channel, (this.#leaving.get(channel) ?? 0) + 1);
      await new Promise((resolve) => this.#driver.request({ type: "unsubscribe", channel }, resolve));
      const left = (this.#leaving.get(channel) ?? 1) - 1;
      if (left) this.#leaving.set(channel, left);
      else this.#leaving.delete(channel);
    }
    held(iteration) {
      if (iteration.isDone) this.#held.delete(iteration);
      else this.#held.add(iteration);
      const oldest = [...this.#held].map(({ oldest: oldest2 }) => oldest2 ?? Infinity);
      const number = Math.min(...oldest);
      const held = number === Infinity ? void 0 : number;
      if (held === this.#heldBack) return;
      this.#heldBack = held;
      this.change((core) => core.holdBack(held));
    }
    // What its driver tells.
    keep(saved) {
      this.#options.kept.keep(saved);
    }
    remember(verdict) {
      this.#options.remember(verdict);
    }
    settled(core) {
      const { state: state2 } = core;
      if (state2.name === "waiting" && state2.reason === UNAUTHORIZED) this.#credentials?.ask(UNAUTHORIZED);
      const standing = this.#standing(state2);
      if (JSON.stringify(this.state) === JSON.stringify(standing)) return;
      this.state = standing;
      this.#listeners.tell("state", standing);
    }
    hear(incoming) {
      if (this.#isClosing) return;
      switch (incoming.hear) {
        case "up":
          if (!this.#wasUp) this.isResumed = this.#hasSaved && incoming.isResumed;
          this.#wasUp = true;
          return this.#listeners.tell(incoming.isResumed ? "resumed" : "opened", { session: incoming.session });
        case "lost":
          this.isResumed = false;
          this.#heldBack = void 0;
          for (const iteration of this.#held) iteration.disown();
          for (const channel of this.#channels.values()) channel.stands = false;
          return this.#listeners.tell("lost", { reason: incoming.reason, isFinal: incoming.isFinal });
        case "subscribed":
          return this.#begin(incoming.item);
        case "volatile":
          return this.#standingChannel(incoming.frame.channel)?.volatile(incoming.frame);
        case "event":
          if (incoming.epoch !== void 0) this.#standingChannel(incoming.item.channel)?.event(incoming.item, incoming.number, incoming.epoch);
          return;
        case "gap":
          return this.#standingChannel(incoming.item.channel ?? "")?.gap(incoming.item, incoming.number);
        case "presence":
          return this.#standingChannel(incoming.item.channel)?.presenceChanged(incoming.item);
        case "presenceLost":
          return this.#standingChannel(incoming.channel)?.presenceLost(new Rejected(incoming.error));
        case "unsubscribed": {
          const { item, error } = incoming;
          if (item.command === void 0) this.#end(item.channel, item.reason, error && new Rejected(error));
        }
      }
    }
    turned(core) {
      if (this.isLive) this.#credentials?.taken(core.authExpiresAtMs);
      if (this.state.name === "closed") {
        for (const name of [...this.#channels.keys()]) this.#end(name, this.state.reason);
        this.#credentials?.end();
      }
      for (const channel of this.#channels.values()) channel.judgeFreshness();
      if (!core.isClosed) return;
      this.#close();
      this.#options.ended();
    }
    #standing(state2) {
      if (state2.name !== "waiting") return state2;
      const { retryAtMs, ...waiting } = state2;
      if (retryAtMs === void 0) return state2.reason === UNAUTHORIZED ? { ...waiting, ...this.#credentials?.status } : waiting;
      if (this.#retry.atMs !== retryAtMs) this.#retry = { atMs: retryAtMs, wallMs: Math.round(this.clock.wall() + retryAtMs - this.clock.now()) };
      return { ...waiting, retryAt: this.#retry.wallMs };
    }
    #subscribe(subscription, command2) {
      this.#driver.request(command2, (outcome) => {
        if (outcome.kind === "subscribed") subscription.command = outcome.subscribed.command;
        else if (this.#channels.get(subscription.name) === subscription) {
          const error = outcome.kind === "rejected" ? new Rejected(outcome.error) : void 0;
          if (!subscription.stands) this.#end(subscription.name, error ? "refused" : this.#reason, error);
          else if (error) subscription.presenceLost(error);
        }
      });
    }
    #begin(item) {
      const { channel, command: command2 } = item;
      const held = this.#channels.get(channel);
      const isNew = held?.position === void 0;
      if (held && (!isNew || command2 !== void 0 && command2 === held.command)) return held.begin(item);
      if (command2 !== void 0 || this.#leaving.has(channel)) return;
      const made = held ?? new Subscription(channel, this);
      this.#channels.set(channel, made);
      made.begin(item);
      this.#listeners.tell("subscribed", { channel: made, subscribed: item });
    }
    #standingChannel(name) {
      const held = this.#channels.get(name);
      return held?.stands ? held : void 0;
    }
    #end(name, reason, error) {
      const held = this.#channels.get(name);
      this.#channels.delete(name);
      held?.finish({ reason, ...error && { error } });
    }
    #takeUp(saved) {
      if (!saved) return [];
      const { low, commands, unkept } = saved;
      const numbers = commands.map((command2, index) => ({ command: command2, number: low + index }));
      return numbers.filter(({ command: command2, number }) => command2.type === "send" || unkept.includes(number)).map(({ command: command2, number }) => {
        const outcome = new Promise((resolve, reject) => {
          this.#driver.await(-number, (settled2) => this.#answer(settled2, resolve, reject));
        });
        outcome.catch(() => {
        });
        return { command: command2, outcome };
      });
    }
    #answer(outcome, resolve, reject) {
      if (outcome.kind === "accepted") {
        const { data, bytes, position } = outcome.reply;
        resolve({ ...data !== void 0 && { data }, ...bytes && { bytes }, ...position && { position } });
      } else reject(errorOf(outcome, this.#reason));
    }
    get #reason() {
      return "reason" in this.state ? this.state.reason : "closed";
    }
  };
  function sendOf(channel, data, { name, id, meta: meta2 }) {
    return {
      type: "send",
      channel: checkChannel(channel),
      ...name !== void 0 && { name: checkText("name", name, 200) },
      ...id !== void 0 && { id: checkText("id", id, 64) },
      ...meta2 !== void 0 && { meta: checkMeta(meta2) },
      ...payloadOf(data)
    };
  }

  // src/transports/address.ts
  function addressOf({ base, offer }, path, schemes) {
    const [secure, plain2] = schemes;
    const url = new URL(offer?.url ?? path, new URL("v1/", base));
    const { protocol, port } = url;
    if (protocol === "http:") url.protocol = plain2;
    if (protocol === "https:") url.protocol = secure;
    if (protocol === "http:" && plain2 === "https:") url.port = port || "80";
    const isSafe = url.protocol === secure || url.protocol === plain2 && base.protocol === "http:";
    if (!isSafe || url.username || url.password) throw new Error(`${url.href} is no address for this transport`);
    return url;
  }

  // src/transports/http.ts
  var fetchMissing = ({ fetch = globalThis.fetch }) => () => typeof fetch === "function" ? void 0 : "this platform has no fetch";
  var isAnswer = (answer) => Array.isArray(answer);
  function lane(fetch, address, codec) {
    let underWay;
    const giveUp2 = () => underWay?.abort();
    const ask = async (message, signal) => fetch(address(), {
      method: "POST",
      headers: { "content-type": codec.mediaType },
      body: codec.encode(message),
      cache: "no-store",
      // A goodbye outlives its page.
      keepalive: message.some(({ type }) => type === "bye"),
      signal
    });
    return {
      post(message, read5, then) {
        giveUp2();
        const { signal } = underWay = new AbortController();
        const unlessGivenUp = (answer) => {
          if (!signal.aborted) then(answer);
        };
        const failed = (error) => unlessGivenUp({ kind: "lost", reason: reasonOf(error) });
        ask(message, signal).then(read5).then(unlessGivenUp, failed);
      },
      giveUp: giveUp2
    };
  }
  var poster = (posts, codec, told3) => (post2, message) => posts.post(
    message,
    (response) => answerOf(codec, response),
    (answer) => told3.tell("posted", post2, isAnswer(answer) ? answer : reasonOfEnd(answer))
  );
  var reasonOfEnd = (end) => "reason" in end ? end.reason : `refused with status ${"status" in end ? end.status : end.code}`;
  function reasonOf(error) {
    const { cause, message } = error;
    return cause instanceof Error ? `${message}: ${cause.message}` : message;
  }
  async function answerOf(codec, response, heard) {
    const pieces = [];
    const reader = response.body?.getReader();
    let length = 0;
    while (reader) {
      const { value } = await reader.read();
      if (!value) break;
      length += value.length;
      if (length > LARGEST_BYTES2) {
        void reader.cancel();
        return { kind: "protocol", reason: "an answer is larger than it may be" };
      }
      pieces.push(value);
      heard?.();
    }
    const { frames, fault } = codec.decode(joined(pieces, length));
    if (response.ok) return fault ? { kind: "protocol", reason: fault.message } : frames;
    return fault || frames.length === 0 ? refusal(response) : frames;
  }
  function joined(pieces, length) {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }
  function refusal({ status, headers }) {
    const seconds2 = /^\d+$/.exec(headers.get("retry-after") ?? "");
    return { kind: "refused", status, ...seconds2 && { retryAfterMs: Math.min(Number(seconds2[0]), 3600) * 1e3 } };
  }
  var LARGEST_BYTES2 = 4 << 20;

  // src/transports/reports.ts
  function reports(events) {
    let isOver2 = false;
    const tell2 = (what, ...about) => {
      if (isOver2) return;
      isOver2 = what === "ended";
      events[what](...about);
    };
    return {
      get isOver() {
        return isOver2;
      },
      tell: tell2,
      heard({ frames, fault }) {
        if (frames.length > 0) tell2("received", frames);
        else tell2("alive");
        return fault && { kind: "protocol", reason: fault.message };
      },
      stop() {
        isOver2 = true;
      }
    };
  }

  // src/transports/polling.ts
  var polling = (options = {}) => ({
    name: "polling",
    isDuplex: false,
    missing: fetchMissing(options),
    open: (opening2) => open2(opening2, options)
  });
  function open2(opening2, { fetch = globalThis.fetch }) {
    const { codec } = opening2;
    const told3 = reports(opening2.events);
    const address = () => addressOf(opening2, "poll", ["https:", "http:"]);
    const polls = lane(fetch, address, codec);
    const posts = lane(fetch, () => new URL("send", address()), codec);
    return {
      transmit() {
      },
      transmitVolatile() {
      },
      poll(attach, message) {
        polls.post(
          message,
          (response) => answerOf(codec, response, () => told3.tell("alive")),
          (answer) => isAnswer(answer) ? told3.tell("answered", attach, answer) : told3.tell("ended", answer)
        );
      },
      post: poster(posts, codec, told3),
      close(inPeace) {
        told3.stop();
        polls.giveUp();
        if (!inPeace) posts.giveUp();
      }
    };
  }

  // src/transports/event-stream.ts
  function eventStream() {
    let line = "";
    let data;
    let endedWithCr = false;
    return (text2) => {
      if (endedWithCr && text2.startsWith("\n")) text2 = text2.slice(1);
      if (text2) endedWithCr = text2.endsWith("\r");
      const [rest2 = "", ...others] = text2.split(/\r\n|[\r\n]/);
      const events = [];
      line += rest2;
      for (const next of others) {
        if (!line && data) events.push(data);
        if (!line) data = void 0;
        const [isData, value = ""] = /^data(?:: ?(.*))?$/s.exec(line) ?? [];
        if (isData) data = data === void 0 ? value : `${data}
${value}`;
        line = next;
      }
      if (line.length + (data ?? "").length > FRAME_BYTES + SLACK) fail(TOO_LARGE, "event");
      return events;
    };
  }
  var SLACK = 16;

  // src/transports/sse.ts
  var sse = (options = {}) => ({
    name: "sse",
    isDuplex: false,
    missing: fetchMissing(options),
    open: (opening2) => open3(opening2, options)
  });
  function open3(opening2, { fetch = globalThis.fetch }) {
    const codec = json();
    const told3 = reports(opening2.events);
    const address = () => addressOf(opening2, "events", ["https:", "http:"]);
    const stream = lane(fetch, address, codec);
    const posts = lane(fetch, () => new URL("send", address()), codec);
    stream.post(
      opening2.hello ?? [],
      (response) => read3(response, told3),
      (end) => {
        stream.giveUp();
        if (!isAnswer(end)) told3.tell("ended", end);
      }
    );
    return {
      transmit() {
      },
      transmitVolatile() {
      },
      poll() {
      },
      post: poster(posts, codec, told3),
      close(inPeace) {
        told3.stop();
        stream.giveUp();
        if (!inPeace) posts.giveUp();
      }
    };
  }
  async function read3(response, told3) {
    const codec = json();
    told3.tell("alive");
    if (!/^text\/event-stream/i.test(response.headers.get("content-type") ?? "") || !response.body) {
      const answer = await answerOf(codec, response);
      if (!isAnswer(answer)) return answer;
      told3.tell("received", answer);
      return refusal(response);
    }
    const text2 = new TextDecoder("utf-8", { fatal: true });
    const events = eventStream();
    const reader = response.body.getReader();
    for (; ; ) {
      const { value } = await reader.read();
      if (!value) return { kind: "lost", reason: "the stream ended" };
      let data = "";
      const { fault: cut } = reading(() => data = events(text2.decode(value, { stream: true })).join("\n"));
      const decoded = codec.decode(data);
      const end = told3.heard(cut && !decoded.fault ? { ...decoded, fault: cut } : decoded);
      if (end) return end;
    }
  }

  // src/transports/websocket.ts
  var webSocket = (options = {}) => {
    const constructor = () => options.WebSocket ?? globalThis.WebSocket;
    return {
      name: "websocket",
      isDuplex: true,
      missing: () => typeof constructor() === "function" ? void 0 : "this platform has no WebSocket",
      open: (opening2) => open4(opening2, constructor())
    };
  };
  function open4(opening2, WebSocket) {
    const { codec, clock, connectMs } = opening2;
    const told3 = reports(opening2.events);
    let socket;
    let isOpen = false;
    let why = "";
    const end = (end2) => {
      if (told3.isOver) return;
      stopWaiting();
      told3.tell("ended", end2);
      socket?.close();
    };
    const failed = (outcome, reason) => end({ kind: "failed", outcome, reason });
    const stopWaiting = clock.after(connectMs, () => failed("hung", "its handshake was not answered"));
    const opened = () => {
      stopWaiting();
      isOpen = socket?.protocol === codec.name;
      if (isOpen) told3.tell("opened");
      else end({ kind: "protocol", reason: "the subprotocol was not agreed to" });
    };
    const received = ({ data }) => {
      const isText2 = typeof data === "string";
      const fault = isText2 === (codec.name === "throughline.v1.json") ? told3.heard(codec.decode(isText2 ? data : new Uint8Array(data))) : { kind: "protocol", reason: "a message of the wrong kind" };
      if (fault) end(fault);
    };
    const closed2 = ({ code }) => {
      const reason = why || `closed with code ${code}`;
      if (!isOpen) failed("refused", reason);
      else if (code === ABNORMAL || code === NO_STATUS) end({ kind: "lost", reason });
      else end({ kind: "closed", code });
    };
    try {
      const url = addressOf(opening2, "websocket", ["wss:", "ws:"]);
      socket = new WebSocket(url.href, codec.name);
      socket.binaryType = "arraybuffer";
      socket.onopen = opened;
      socket.onmessage = received;
      socket.onclose = closed2;
      socket.onerror = ({ message = "" }) => why = message;
    } catch (error) {
      queueMicrotask(() => failed("refused", error.message));
    }
    const say2 = (message) => {
      if (isOpen && !told3.isOver) socket?.send(codec.encode(message));
    };
    return {
      transmit: say2,
      transmitVolatile(message) {
        if (socket && socket.bufferedAmount < BUSY_BYTES) say2(message);
      },
      poll() {
      },
      post() {
      },
      close(inPeace) {
        stopWaiting();
        told3.stop();
        if (inPeace || !socket?.terminate) socket?.close(1e3);
        else socket.terminate();
      }
    };
  }
  var NO_STATUS = 1005;
  var ABNORMAL = 1006;
  var BUSY_BYTES = 16 << 10;

  // src/connect.ts
  var CLIENT = { name: "throughline-client", version: "0.1.0" };
  function connect(url, options = {}) {
    const base = baseOf(url);
    const { clock = systemClock, random = Math.random, codec = json(), signal } = options;
    const listed = options.transports ?? [webSocket(), sse(), polling()];
    const transports = listed.filter(({ name }, index) => listed.findIndex((other) => other.name === name) === index);
    const timing = { ...defaultTiming, ...options.timing };
    const environment = options.environment ?? platform(clock);
    const verdicts = options.verdicts ?? verdictStore(base);
    const kept = keeper({ keep: options.keep ?? "tab", name: options.name ?? "default", base, clock });
    if (!transports.length) throw new TypeError("no transport");
    const session = new OpenSession({
      surroundings: { base, codec, clock, connectMs: timing.connectMs },
      transports,
      random,
      auth: options.auth,
      kept,
      remember: (verdict) => verdicts && verdicts.save(verdict),
      ended: () => {
        signal?.removeEventListener("abort", close2);
        stop2();
      }
    });
    const close2 = () => void session.close();
    if (signal?.aborted) close2();
    signal?.addEventListener("abort", close2);
    const stop2 = attend(environment, base, kept, (change) => session.change(change));
    void kept.take().then((saved) => {
      const core = new Core({
        transports: transports.map((transport) => ({ name: transport.name, isDuplex: transport.isDuplex, missing: transport.missing() })),
        negotiates: options.negotiate ?? true,
        isSecure: base.protocol === "https:",
        client: options.client ?? CLIENT,
        timing,
        verdict: verdicts ? verdicts.load() : void 0,
        saved,
        needsAuth: !!options.auth,
        commands: options.commands ?? 1024,
        random,
        nowMs: clock.now(),
        wallMs: clock.wall()
      });
      session.start(core, saved);
    });
    return session;
  }
  function baseOf(url) {
    const base = new URL(url, globalThis.location?.href);
    if (!/^https?:$/.test(base.protocol)) throw new TypeError(`${base.href} is neither http nor https`);
    base.search = base.hash = "";
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    return base;
  }

  // src/codec/pieces.ts
  var Pieces = class {
    #pieces = [];
    #size = 0;
    get size() {
      return this.#size;
    }
    /** Keeps a piece; refuses a frame that is too large before it does. */
    add(piece) {
      this.#size += piece.length;
      if (this.#size > FRAME_BYTES) fail(TOO_LARGE, "frame");
      if (piece.length > 0) this.#pieces.push(piece);
    }
    /** All of it and its end, in one; what comes next is another frame. */
    take(end) {
      if (this.#size === 0) return end;
      const whole2 = new Uint8Array(this.#size + end.length);
      let at = 0;
      for (const piece of [...this.#pieces, end]) {
        whole2.set(piece, at);
        at += piece.length;
      }
      this.#pieces = [];
      this.#size = 0;
      return whole2;
    }
  };

  // src/codec/lines.ts
  function lines(codec) {
    const pieces = new Pieces();
    return {
      push(bytes) {
        const end = bytes.lastIndexOf(LF);
        const decoded = end < 0 ? { frames: [] } : codec.decode(pieces.take(bytes.subarray(0, end)));
        if (decoded.fault) return decoded;
        const { fault } = reading(() => pieces.add(bytes.subarray(end + 1)));
        return fault ? { ...decoded, fault } : decoded;
      }
    };
  }
  var LF = 10;

  // src/transports/webtransport.ts
  var webTransport = (options = {}) => {
    const constructor = () => options.WebTransport ?? globalThis.WebTransport;
    return {
      name: "webtransport",
      isDuplex: true,
      missing: () => typeof constructor() === "function" ? void 0 : "this platform has no WebTransport",
      open: (opening2) => open5(opening2, constructor())
    };
  };
  function open5(opening2, WebTransport) {
    const { clock, connectMs } = opening2;
    const told3 = reports(opening2.events);
    const begun = clock.now();
    let codec = opening2.codec;
    let session;
    let stream;
    let beside;
    const hangUp = (code = 1e3) => {
      stopWaiting();
      const open6 = session;
      session = void 0;
      try {
        open6?.close({ closeCode: code, reason: "" });
      } catch {
      }
    };
    const end = (end2) => {
      told3.tell("ended", end2);
      hangUp(end2.kind === "protocol" ? 1002 : 1e3);
    };
    const failed = (outcome, reason) => end({ kind: "failed", outcome, reason });
    let stopWaiting = clock.after(connectMs, () => failed("blocked", "nothing came back"));
    const run = async () => {
      const url = addressOf(opening2, "webtransport", ["https:", "https:"]);
      const Platform = WebTransport;
      const opened = new Platform(url.href, { protocols: [codec.name], ...certificates(opening2.offer) });
      session = opened;
      opened.closed.catch(ignored);
      await opened.ready;
      if (opened.protocol !== codec.name) codec = json();
      const { readable, writable } = await opened.createBidirectionalStream();
      stopWaiting();
      stream = writable.getWriter();
      const { datagrams } = opened;
      beside = (datagrams.createWritable?.() ?? datagrams.writable)?.getWriter();
      told3.tell("opened");
      readDatagrams(datagrams.readable).catch(ignored);
      await read5(readable);
    };
    const read5 = async (readable) => {
      const splitter2 = codec.splitter?.() ?? lines(codec);
      const reader = readable.getReader();
      for (; ; ) {
        const { value } = await reader.read();
        const over = value ? told3.heard(splitter2.push(value)) : { kind: "lost", reason: "the gateway ended the stream" };
        if (!over) continue;
        end(over);
        return;
      }
    };
    const readDatagrams = async (readable) => {
      const reader = readable.getReader();
      for (; ; ) {
        const { value } = await reader.read();
        if (!value) return;
        const frames = codec.decode(value).frames.filter(({ type }) => type === "volatile");
        if (frames.length > 0) told3.tell("received", frames);
      }
    };
    run().catch(async (error) => {
      const { message, streamErrorCode } = error;
      if (!stream) {
        failed(clock.now() - begun > connectMs / 2 ? "blocked" : "refused", message);
        return;
      }
      const code = streamErrorCode ?? await closeCode() ?? 0;
      end(code >= 1e3 && code < 5e3 ? { kind: "closed", code } : { kind: "lost", reason: message });
    });
    const closeCode = () => new Promise((tell2) => {
      clock.after(LAST_WORD_MS, () => tell2(void 0));
      session?.closed.then((info) => tell2(info?.closeCode), () => tell2(void 0));
    });
    const bytesOf3 = (message) => {
      const encoded = codec.encode(message);
      return typeof encoded === "string" ? new TextEncoder().encode(encoded) : encoded;
    };
    const write3 = (writer, bytes) => void writer?.write(bytes).catch(ignored);
    return {
      transmit(message) {
        if (!told3.isOver) write3(stream, bytesOf3(message));
      },
      transmitVolatile(message) {
        if (told3.isOver) return;
        for (const bytes of message.map((frame) => bytesOf3([frame]))) {
          const writer = bytes.length > (session?.datagrams.maxDatagramSize ?? 0) ? stream : beside ?? stream;
          if ((writer?.desiredSize ?? 0) > 0) write3(writer, bytes);
        }
      },
      poll() {
      },
      post() {
      },
      close(inPeace) {
        told3.stop();
        if (!inPeace || !stream) {
          hangUp();
          return;
        }
        stream.close().catch(ignored);
        stopWaiting = clock.after(GOODBYE_MS, () => hangUp());
      }
    };
  }
  var ignored = () => void 0;
  function certificates(offer) {
    const hashes = offer?.certificateHashes ?? [];
    const value = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
    const accepted = hashes.map((hex) => ({ algorithm: "sha-256", value: value(hex) }));
    return accepted.length > 0 ? { serverCertificateHashes: accepted } : {};
  }
  var LAST_WORD_MS = 250;
  var GOODBYE_MS = 5e3;

  // src/codec/reader.ts
  var WIDTHS = { 251: 2, 252: 4, 253: 8 };
  var Reader = class {
    #at = 0;
    #bytes;
    constructor(bytes) {
      this.#bytes = bytes;
    }
    get left() {
      return this.#bytes.length - this.#at;
    }
    byte() {
      return this.#bytes[this.#at++] ?? fail(MALFORMED, "it ends too early");
    }
    flag() {
      const byte = this.byte();
      return byte > 1 ? fail(MALFORMED, "a flag") : byte === 1;
    }
    /** One of any width: a sender should take the shortest, and need not have. */
    integer() {
      const first = this.byte();
      if (first < 251) return first;
      let left = WIDTHS[first] ?? fail(MALFORMED, "an integer");
      let value = 0;
      for (let unit = 1; left > 0; left--, unit *= 256) value += this.byte() * unit;
      return Number.isSafeInteger(value) ? value : fail("number_out_of_range");
    }
    take(length) {
      if (length > this.left) fail(MALFORMED, "a length is beyond what contains it");
      return this.#bytes.subarray(this.#at, this.#at += length);
    }
    /** Bytes behind their length. */
    block() {
      return this.take(this.integer());
    }
    text() {
      return textOf(this.block());
    }
  };

  // src/codec/up.ts
  var UP2 = /* @__PURE__ */ table(`hello version:i instance:t attach?:i auth?:t resume?:resume client?:client
  features~:t*1 slot?:t
attach number:i after:i
session token:t incarnation:i link:i
commands first:i items:command*1 ack?:i
ack upTo:i
auth token:t
volatile channel:c name?:t seq:i data?:d bytes?:b
tried transport:t outcome:t tookMs:i agoMs:i
ping nonce?:i
pong nonce?:i
bye`);
  var COMMANDS = /* @__PURE__ */ table(`subscribe channel:c from~:from token?:t presence~:f
unsubscribe channel:c
send channel:c name?:t id?:t meta~:m data?:d bytes?:b
noop`);
  var PARTS = /* @__PURE__ */ table(`position epoch:e offset:i
resume token:t incarnation:i after:i low:i positions?:p
client name:t version:t`);

  // src/codec/writer.ts
  var writeFrame = (frame, number) => block([number, ...write2(UP2.get(frame.type), frame)]);
  function write2(members = [], fields) {
    const out = [];
    const append = (bytes) => {
      for (const byte of bytes) out.push(byte);
    };
    for (const { name, mark, kind, list } of members) {
      const value = fields[name];
      if (kind === "b") continue;
      if (kind === "d") {
        append(payload(value, fields.bytes));
      } else if (value === void 0) {
        out.push(0);
      } else {
        if (mark === "?") out.push(1);
        append(list ? listOf(value, (entry) => writeValue(kind, entry)) : writeValue(kind, value));
      }
    }
    return out;
  }
  function payload(data, bytes) {
    if (bytes) return [2, ...block(bytes)];
    return data === void 0 ? [0] : [1, ...text(JSON.stringify(data))];
  }
  function writeValue(kind, value) {
    const fields = value;
    const members = PARTS.get(kind);
    if (members) return write2(members, fields);
    switch (kind) {
      case "i":
        return integer(value);
      case "f":
        return [value ? 1 : 0];
      case "command": {
        const names = [...COMMANDS.keys()];
        const type = fields.type;
        return block([names.indexOf(type) + 1, ...write2(COMMANDS.get(type), fields)]);
      }
      case "m":
        return listOf(byName(fields), ([name, value2]) => [...text(name), ...text(value2)]);
      case "p":
        return listOf(byName(fields), ([channel, place]) => [...text(channel), ...writeValue("position", place)]);
      case "from":
        if (value === "now") return [0];
        if ("last" in fields) return [1, ...integer(fields.last)];
        return [2, ...writeValue("position", fields.position)];
      default:
        return text(value);
    }
  }
  var byName = (fields) => Object.entries(fields).sort(([a], [b]) => a < b ? -1 : 1);
  var listOf = (entries, write3) => [
    ...integer(entries.length),
    ...entries.flatMap(write3)
  ];
  var text = (value) => block(bytesOf(value));
  var block = (bytes) => [...integer(bytes.length), ...Array.from(bytes)];
  function integer(value) {
    if (value < 251) return [value];
    const [first, width] = value < 2 ** 16 ? [251, 2] : value < 2 ** 32 ? [252, 4] : [253, 8];
    return [first, ...Array.from({ length: width }, (_, at) => Math.floor(value / 256 ** at) % 256)];
  }

  // src/codec/bincode.ts
  var bincode = () => ({
    name: "throughline.v1.bincode",
    mediaType: "application/vnd.throughline.v1.bincode",
    encode: (frames) => Uint8Array.from(frames.flatMap((frame) => writeFrame(frame, FRAMES.indexOf(frame.type) + 1))),
    decode: (message) => reading((frames) => {
      if (typeof message === "string") fail(MALFORMED, "a message of text");
      const reader = new Reader(message);
      while (reader.left > 0) readFrame(reader.take(frameSize(reader.integer())), frames);
    }),
    splitter
  });
  var FRAMES = "hello attach session commands ack auth volatile ping pong bye welcome items retry migrate error tried".split(" ");
  function splitter() {
    const pieces = new Pieces();
    let head = [];
    let size;
    return {
      push: (bytes) => reading((frames) => {
        for (; ; ) {
          while (size === void 0) {
            const [byte] = bytes;
            if (byte === void 0) return;
            bytes = bytes.subarray(1);
            head.push(byte);
            if (head.length <= (WIDTHS[head[0] ?? 0] ?? 0)) continue;
            size = frameSize(new Reader(Uint8Array.from(head)).integer());
            head = [];
          }
          const missing = size - pieces.size;
          if (bytes.length < missing) return pieces.add(bytes);
          size = void 0;
          const frame = pieces.take(bytes.subarray(0, missing));
          bytes = bytes.subarray(missing);
          readFrame(frame, frames);
        }
      })
    };
  }
  var frameSize = (size) => size > FRAME_BYTES ? fail(TOO_LARGE, "frame") : size;
  function readFrame(bytes, frames) {
    const reader = new Reader(bytes);
    const number = reader.byte();
    if (number >= 128) return;
    const type = FRAMES[number - 1] ?? "";
    const members = DOWN.get(type) ?? fail("unknown_frame", String(number));
    frames.push({ type, ...read4(reader, members) });
  }
  function readItem(bytes) {
    const reader = new Reader(bytes);
    const [type, members] = [...ITEMS][reader.byte() - 1] ?? [];
    return type && members ? settled({ type, ...read4(reader, members) }) : { type: "unknown" };
  }
  function read4(reader, members) {
    const fields = {};
    for (const member2 of members) {
      const { name, mark, kind, list } = member2;
      if (kind === "d") {
        readPayload(reader, fields);
      } else if (kind !== "b" && (mark !== "?" || reader.flag())) {
        const value = list ? readList(reader, member2) : readValue2(reader, member2);
        if (mark !== "~" || value === true || Object.keys(value).length > 0) fields[name] = value;
      }
    }
    return fields;
  }
  function readList(reader, member2) {
    const count = reader.integer();
    if (count > member2.list) fail(TOO_LARGE, member2.name);
    return Array.from({ length: count }, () => readValue2(reader, member2));
  }
  function readValue2(reader, member2) {
    const { kind, name } = member2;
    const members = OBJECTS.get(kind);
    if (members) return read4(reader, members);
    switch (kind) {
      case "item":
        return readItem(reader.block());
      case "i":
        return reader.integer();
      case "f":
        return reader.flag();
      case "s":
        return base64Of(reader.take(16)).slice(0, 22).replaceAll("+", "-").replaceAll("/", "_");
      case "k":
        return KINDS[reader.byte()];
      case "m":
        return readMeta(reader);
      case "j": {
        const info = reader.block();
        return info.length > 1024 ? fail(TOO_LARGE, name) : readJson(info);
      }
      default:
        return scalar(member2, reader.text());
    }
  }
  function readPayload(reader, fields) {
    const tag = reader.byte();
    if (tag > 2) fail("malformed_payload");
    if (tag === 1) fields.data = readJson(reader.block());
    if (tag === 2) fields.bytes = new Uint8Array(reader.block());
  }
  function readJson(bytes) {
    const text2 = textOf(bytes);
    try {
      return parse(text2);
    } catch (error) {
      return error instanceof SyntaxError ? fail("malformed_payload", error.message) : fail("lone_surrogate");
    }
  }
  function readMeta(reader) {
    const count = reader.integer();
    const entries = /* @__PURE__ */ new Map();
    for (let left = count; left > 0; left--) {
      const name = reader.text();
      if (entries.has(name)) fail("duplicate_member", name);
      entries.set(name, reader.text());
    }
    return meta([...entries]);
  }

  // src/optimistic.ts
  function optimistic(channel, options) {
    return new OptimisticView(channel, options);
  }
  var OptimisticView = class {
    state;
    confirmed;
    #channel;
    #apply;
    #listeners = new Listeners();
    #stop = new AbortController();
    #pending = [];
    /** What has to wait for the reply to an event of our own. */
    #waiting = [];
    #position;
    /** Epochs that the channel has left: nothing of them comes any more. */
    #past = /* @__PURE__ */ new Set();
    /** Whether what is to be shown may be another than what is. */
    #isDirty = false;
    constructor(channel, { initial, apply }) {
      this.#channel = channel;
      this.state = this.confirmed = initial;
      this.#apply = apply;
      if (this.#inner.wasHeard) channel.refresh();
      const { signal } = this.#stop;
      const hear = (happening) => {
        if (happening.type === "snapshot") this.#waiting = [];
        this.#waiting.push(happening);
        this.#goOn();
      };
      for (const name of ["event", "gap", "snapshot"]) channel.on(name, hear, { signal });
      channel.on("unsubscribed", () => this.#end(), { signal });
    }
    get pending() {
      return this.#pending.length;
    }
    on(name, listener, options) {
      return this.#listeners.on(name, listener, options);
    }
    async send(data, { optimistic: optimistic2, rollback, ...options }) {
      options.signal?.throwIfAborted();
      const state2 = optimistic2(this.state);
      const pending = { optimistic: optimistic2, position: void 0 };
      let isHeard = false;
      const withdraw = (error) => {
        this.#drop(pending);
        this.#goOn();
        if (rollback) shielded(() => rollback(error));
      };
      const heard = (outcome) => {
        isHeard = true;
        if (outcome.kind !== "accepted") {
          withdraw(errorOf(outcome, "closed"));
          return;
        }
        const { position } = outcome.reply;
        pending.position = position;
        if (!position || this.#isPast(position)) this.#drop(pending);
        this.#goOn();
      };
      this.#pending.push(pending);
      const sent = this.#channel.send(data, { ...options, heard });
      this.#show(state2);
      sent.catch((error) => {
        if (!isHeard && !options.signal?.aborted) withdraw(error);
      });
      return sent;
    }
    close() {
      this.#stop.abort();
    }
    /** Applies what may be applied by now. */
    #goOn() {
      let next = this.#waiting[0];
      while (next && !this.#hasToWait(next)) {
        this.#take(next);
        this.#waiting.shift();
        next = this.#waiting[0];
      }
      if (!this.#isDirty) return;
      let state2 = this.confirmed;
      for (const { optimistic: optimistic2 } of this.#pending) shielded(() => state2 = optimistic2(state2));
      this.#show(state2);
    }
    #hasToWait(happening) {
      if (happening.type !== "event") return false;
      const { sender, position } = happening;
      return sender?.session === this.#inner.me && !this.#pending.some((pending) => isSame2(pending.position, position)) && this.#pending.some((pending) => !pending.position);
    }
    #take(happening) {
      const before = this.confirmed;
      if (happening.type === "snapshot") {
        this.confirmed = happening.state;
        this.#moveTo(happening.position);
      } else if (happening.type === "event") {
        shielded(() => this.confirmed = this.#apply(this.confirmed, happening));
        this.#moveTo(happening.position);
      } else if (!this.#inner.hasSnapshot) this.#moveTo(happening.to);
      this.#isDirty ||= this.confirmed !== before;
    }
    #moveTo(position) {
      if (this.#position && this.#position.epoch !== position.epoch) this.#past.add(this.#position.epoch);
      this.#past.delete(position.epoch);
      this.#position = position;
      this.#keep((pending) => !pending.position || !this.#isPast(pending.position));
    }
    /** Whether the channel has said what is there, or will not say it any more. */
    #isPast(position) {
      return reaches(this.#position, position) || this.#past.has(position.epoch);
    }
    #drop(pending) {
      this.#keep((other) => other !== pending);
    }
    #keep(isKept) {
      const kept = this.#pending.filter(isKept);
      this.#isDirty ||= kept.length < this.#pending.length;
      this.#pending = kept;
    }
    /** The channel says nothing more: what it has accepted cannot be waited for. */
    #end() {
      this.#keep(({ position }) => !position);
      this.#goOn();
    }
    #show(state2) {
      this.#isDirty = false;
      if (state2 === this.state) return;
      this.state = state2;
      this.#listeners.tell("change", state2);
    }
    get #inner() {
      return this.#channel;
    }
  };
  function isSame2(one, other) {
    return one?.epoch === other.epoch && one.offset === other.offset;
  }
  return __toCommonJS(entries_exports);
})();
