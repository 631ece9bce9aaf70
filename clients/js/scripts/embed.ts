/**
 * Bundles the client for the page that the gateway serves at `/`: `npm run embed -- <file>`, called by `cargo xtask client`.
 *
 * One script that defines `throughline`, the core entry with WebTransport, the binary codec and optimistic
 * views, which the quiz shows. It is committed, so the same sources give the same bytes; and minified, since phones load it.
 */

import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const [outfile] = process.argv.slice(2);
if (outfile === undefined) throw new Error('where to?');

await build({
  stdin: {
    contents: ['index', 'webtransport', 'bincode', 'optimistic'].map((entry) => `export * from './src/${entry}.js';\n`).join(''),
    resolveDir: fileURLToPath(new URL('..', import.meta.url)),
    sourcefile: 'entries',
  },
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  outfile,
  bundle: true,
  minify: true,
  format: 'iife',
  globalName: 'throughline',
  target: 'es2022',
  charset: 'utf8',
  legalComments: 'none',
  banner: { js: '// The TypeScript client, made from clients/js/src by `cargo xtask client`. Change it there, and make this anew.' },
});
