/** Where a transport is: as offered, or at its fixed path below the gateway (docs/protocol.md, Offers). */

import type { Opening } from './transport.js';

/** Schemes of a transport: over TLS, and in plain text. */
type Schemes = readonly [secure: string, plain: string];

/**
 * Resolves an offer against `{base}v1/`, the scheme replaced by the transport's own.
 *
 * Throws an `Error` for a person where it leads nowhere, or from TLS to plain text.
 */
export function addressOf({ base, offer }: Pick<Opening, 'base' | 'offer'>, path: string, schemes: Schemes): URL {
  const [secure, plain] = schemes;
  const reference = offer?.url ?? path;
  const url = parsed(reference, new URL('v1/', base));
  // A browser's own message may quote it whole.
  if (!url) throw new Error(`${withoutCredentials(reference)} is no address`);
  const { protocol, port } = url;
  if (protocol === 'http:') url.protocol = plain;
  if (protocol === 'https:') url.protocol = secure;
  // WebTransport beside plain HTTP: the same number, by UDP.
  if (protocol === 'http:' && plain === 'https:') url.port = port || '80';
  const isSafe = url.protocol === secure || (url.protocol === plain && base.protocol === 'http:');
  if (!isSafe || url.username || url.password) throw new Error(`${withoutCredentials(url.href)} is no address for this transport`);
  return url;
}

/**
 * An address as it may be shown: what stands before an `@` may be a secret, however the rest is read. Of what is no address,
 * nobody knows where a query begins.
 */
export const withoutCredentials = (url: string): string => url.replace(parsed(url, 'ws://a') ? /^[^?#]*@/ : /^.*@/s, '');

function parsed(reference: string, base: URL | string): URL | undefined {
  try {
    return new URL(reference, base);
  } catch {
    return undefined;
  }
}
