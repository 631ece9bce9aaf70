/** `throughline-client/bincode`: the binary codec, for `connect(url, { codec: bincode() })`. */

export { bincode } from './codec/bincode.js';
