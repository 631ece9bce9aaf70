/** `connect` as most pages want it: with all transports of this entry, text, and all that a page has. */

import { page } from './browser/page.js';
import { json } from './codec/json.js';
import { open } from './open.js';
import type { ConnectOptions } from './options.js';
import type { Session } from './session.js';
import { polling } from './transports/polling.js';
import { sse } from './transports/sse.js';
import { webSocket } from './transports/websocket.js';

/**
 * Opens a session with the gateway that is mounted at `url`, which in a page may be relative to it. Returns at once;
 * nothing happens before the current task is over, so that what is subscribed now travels in the first message.
 *
 * Throws a `TypeError` where `url` or the options cannot be used.
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Session {
  const { transports = [webSocket(), sse(), polling()], codec = json() } = options;
  return open(url, { ...options, transports, codec, page: page(options) });
}
