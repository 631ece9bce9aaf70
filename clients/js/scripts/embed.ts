/**
 * Bundles the client for the page that the gateway serves at `/`: `npm run embed -- <file>`, called by `cargo xtask client`.
 *
 * One script that defines `throughline`, the core entry with WebTransport, the binary codec and optimistic
 * views, which the quiz shows. It is committed, so the same sources give the same bytes; and minified, since phones load it.
 *
 * The comment at its head is one that V8 reads: all functions are compiled while the script arrives, and not each when it is
 * called for the first time, which is between `connect` and the first event.
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
  banner: { js: `//# allFunctionsCalledOnLoad\n// The TypeScript client, made from clients/js/src by \`cargo xtask client\`. Change it there, and make this anew.` },
});
