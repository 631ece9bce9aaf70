/** What a page of its users would load: a page bundled as an application bundles it, and where its bytes go. */

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Bundle {
  readonly gzippedBytes: number;
  /** Minified bytes, not yet zipped, by file of `dist`, largest first. */
  readonly byFile: ReadonlyMap<string, number>;
}

/** Bundles the text of a page. It imports the package by its name, as built in `dist`. */
export async function bundle(page: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: page, resolveDir: root },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    metafile: true,
    write: false,
    absWorkingDir: root,
    logLevel: 'silent',
  });
  const inputs = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
  const byFile = inputs
    .map(([path, { bytesInOutput }]) => [path.replace(/^dist\//, ''), bytesInOutput] as const)
    .filter(([path, bytes]) => path !== '<stdin>' && bytes > 0)
    .sort(([, one], [, other]) => other - one);
  const gzippedBytes = outputFiles.reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
  return { gzippedBytes, byFile: new Map(byFile) };
}
