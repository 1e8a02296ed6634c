// Bundles a program of the tests (TypeScript, as the tests are) and runs it in this process.
// usage: bundled.mjs demo|bench [ARGUMENT...]
import { build } from 'esbuild';

const entries = { demo: 'test/scenarios/demo/main.ts', bench: 'test/bench/main.ts' };
const [name] = process.argv.splice(2, 1);
const outfile = new URL(`../../cache/${name}/${name}.mjs`, import.meta.url).pathname;
await build({
  entryPoints: [new URL(`../../${entries[name]}`, import.meta.url).pathname],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  packages: 'external',
  logLevel: 'warning',
});
await import(outfile);
