// Bundles the demo (TypeScript, as the tests are) and runs it in this process.
import { build } from 'esbuild';

const outfile = new URL('../../cache/demo/demo.mjs', import.meta.url).pathname;
await build({
  entryPoints: [new URL('../../test/scenarios/demo/main.ts', import.meta.url).pathname],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  packages: 'external',
  logLevel: 'warning',
});
await import(outfile);
