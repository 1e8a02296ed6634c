// kemari as two CommonJS files: what the single executable carries, and what the tests run with plain node. kemari.cjs is
// what starts, and has monitor and meta-data in it; kemari-program.cjs, beside it, is everything.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

/**
 * @param {string} outfile of kemari.cjs
 * @returns {Promise<{main: string[], program: string[]}>} the sources of each
 */
export async function bundle(outfile) {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  const one = async (source, file) => {
    const { metafile } = await build({
      entryPoints: [new URL(`../../src/${source}`, import.meta.url).pathname],
      outfile: file,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      define: { 'import.meta.url': '__kemariFileUrl', KEMARI_VERSION: JSON.stringify(version) },
      // A module inside a single executable has no file of its own; dependencies that ask for one get the executable's.
      banner: { js: "const __kemariFileUrl = 'file://' + process.execPath;" },
      minifySyntax: true,
      // Whole names, so that the stack of a bug can be read; lines, so that its numbers say where.
      minifyWhitespace: true,
      lineLimit: 160,
      metafile: true,
      logLevel: 'warning',
    });
    return Object.keys(metafile.inputs);
  };
  return {
    main: await one('main.ts', outfile),
    program: await one('program.ts', join(dirname(outfile), 'kemari-program.cjs')),
  };
}
