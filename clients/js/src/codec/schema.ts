/**
 * The tables of docs/codecs.md as data, and the rules that both codecs hold values to. Internal to codecs.
 *
 * A line of a table is a frame, an item, a command, or an object that lies in others; then come its members, in order:
 * name, mark, kind. `?` may be absent; `~` may be absent in text alone, which then means what its table says. Of the
 * kinds, `t64` is text of at most 64 bytes, `thing*16` a list of at most 16 things. What goes up is trusted, so its
 * bounds are not here.
 */

import { MALFORMED, TOO_LARGE, fail } from './fault.js';
import { bytesOf, fits } from './text.js';

/** An object of the protocol, by its members. */
export type Fields = Record<string, unknown>;

export interface Member {
  readonly name: string;
  readonly mark: string;
  /** A scalar (`i n f t c e s`), half a payload (`d b`), another special (`j k m p from`), or the name of an object. */
  readonly kind: string;
  /** The bytes of a text. */
  readonly most: number;
  /** The entries of a list; 0 where it is none. */
  readonly list: number;
}

export type Table = ReadonlyMap<string, readonly Member[]>;

export const DOWN = /* @__PURE__ */ table(`welcome session:s token:t8192 incarnation:i link:i resumed:f reason?:t64
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

/** In the order of their numbers in the binary codec, which begin with 1. */
export const ITEMS = /* @__PURE__ */ table(`event channel:c offset:i time:i name?:t200 key?:t200 sender?:sender
  meta~:m data?:d bytes?:b
reply command:i ok:f position?:position data?:d bytes?:b error?:failure
subscribed channel:c command?:i position:position recovered:f
unsubscribed channel:c command?:i reason:t64
gap channel?:c from?:position to:position exact:f reason:t64
presence channel:c kind:k members:member*4096 count:i`);

/** Objects that lie in others; then what a browser keeps for later pages (`browser/record.ts`, `browser/verdict.ts`). */
export const OBJECTS = /* @__PURE__ */ table(`position epoch:e offset:i
sender user?:t256 session:s
member session:s user?:t256 info?:j
offer name:t64 url?:t1024 certificateHashes~:t64*16
backoff baseMs:i capMs:i
limits messageBytes:i commandsAhead:i unacknowledgedItems:i unacknowledgedBytes:i subscriptions:i commandsPerSecond:i
failure code:t64 message:t1024 retryable:f
record version:i isLeft:f saved:saved
saved known?:known attach:i after:i low:i commands:kept*65536 said:i unkept:i*65536 atMs:n
known session:e token:t8192 incarnation:i user?:t256
kept type:t4 channel?:c name?:t200 id?:t64 meta~:m data?:d bytes?:b
verdict transport:t64 offer?:offer atMs:n`);

/** The kinds of a `presence`, in the order of their numbers. */
export const KINDS: readonly unknown[] = ['state', 'join', 'leave'];

export function table(lines: string): Table {
  return new Map(
    lines.split(/\n(?! )/).map((line) => {
      const [type = '', ...members] = line.split(/\s+/);
      return [type, members.map(member)];
    }),
  );
}

function member(text: string): Member {
  const [, name = '', mark = '', kind = '', most, list] = /(\w+)(\W?):([a-z]+)(\d*)\*?(\d*)/.exec(text) ?? [];
  return { name, mark, kind, most: Number(most), list: Number(list) };
}

/** Holds a scalar to the rule of its kind. */
export function scalar({ name, kind, most }: Member, value: unknown): unknown {
  if (typeof value !== ({ i: 'number', n: 'number', f: 'boolean' }[kind] ?? 'string')) fail(MALFORMED, name);
  if (kind === 'i' && !(Number.isSafeInteger(value) && (value as number) >= 0)) fail('number_out_of_range', name);
  const [rule, code = ''] = RULES[kind] ?? [];
  if (rule && !rule.test(value as string)) fail(code, name);
  if (kind === 't' && !fits(value as string, most)) fail(TOO_LARGE, name);
  return value;
}

const RULES: Readonly<Record<string, readonly [RegExp, string]>> = {
  c: [/^[\w.~:@$=-]{1,200}$/, 'invalid_channel'],
  e: [/^[!-~]{1,32}$/, 'invalid_position'],
  s: [/^[\w-]{21}[AQgw]$/, MALFORMED],
};

/** Holds `meta` to its bounds. */
export function meta(entries: readonly (readonly [string, unknown])[]): Fields {
  let bytes = 0;
  for (const [name, value] of entries) {
    if (typeof value !== 'string') fail(MALFORMED, name);
    if (!/^[a-z0-9-]{1,32}$/.test(name)) fail('invalid_meta', name);
    bytes += name.length + bytesOf(value).length;
  }
  if (entries.length > 16 || bytes > 1024) fail('invalid_meta');
  return Object.fromEntries(entries);
}

/** What the members of an item mean together. A presence of a later version is an unknown item. */
export function settled(item: Fields): Fields {
  const { type, ok, error, position, kind, bytes } = item;
  const isWrong = ok ? error : !(error && !position && !bytes) || 'data' in item;
  if (type === 'reply' && isWrong) fail(MALFORMED, type);
  return type === 'presence' && !KINDS.includes(kind) ? { type: 'unknown' } : item;
}
