// One CommonJS file of everything: what the single executable carries, and what the tests run with plain node.
import { readFile } from 'node:fs/promises';
import { build } from 'esbuild';

/** @param {string} outfile */
export async function bundle(outfile) {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  await build({
    entryPoints: [new URL('../../src/main.ts', import.meta.url).pathname],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    define: { 'import.meta.url': '__kemariFileUrl', KEMARI_VERSION: JSON.stringify(version) },
    // A module inside a single executable has no file of its own; dependencies that ask for one get the executable's.
    banner: { js: "const __kemariFileUrl = 'file://' + process.execPath;" },
    minifySyntax: true,
    logLevel: 'warning',
  });
}
