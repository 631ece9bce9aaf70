/**
 * `throughline-client/core`: `connect` without defaults. What is not handed in is not loaded:
 *
 *     connect(url, { transports: [webSocket(), polling()], codec: json(), page: page() })
 */

export { page } from './browser/page.js';
export type { Page } from './browser/page.js';
export { open as connect } from './open.js';
export type { OpenOptions, PageOptions, SessionOptions } from './options.js';
