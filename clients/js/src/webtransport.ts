/**
 * `throughline-client/webtransport`: HTTP/3, for
 * `connect(url, { transports: [webTransport(), webSocket(), sse(), polling()] })`.
 */

export { webTransport } from './transports/webtransport.js';
export type { WebTransportOptions } from './transports/webtransport.js';
