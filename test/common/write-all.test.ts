import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';

/** More than any pipe holds. */
const BYTES = 1 << 20;

/** A program that writes a text and ends at once, through a pipe that is non-blocking at both ends. */
async function writer(text: string): Promise<string> {
  const folder = await mkdtemp('/tmp/kemari-write-all-');
  onTestFinished(() => rm(folder, { recursive: true }));
  const outfile = join(folder, 'writer.cjs');
  await build({
    stdin: {
      contents: `import { writeAll } from './write-all.ts'; ${text} process.exit(0);`,
      loader: 'ts',
      resolveDir: new URL('../../src/common', import.meta.url).pathname,
    },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
  });
  return outfile;
}

test('a text that no pipe holds arrives whole before the program ends', async () => {
  const program = await writer(`writeAll(1, 'ä'.repeat(${BYTES}));`);
  // O_NONBLOCK, as a reader that shares its end with the writer may have made it.
  const script = 'use Fcntl; fcntl(STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK) or die; exec @ARGV';
  const child = spawn('perl', ['-e', script, process.execPath, program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => (bytes += chunk.length));
  const [code] = (await once(child, 'close')) as [number];
  expect([code, bytes]).toEqual([0, 2 * BYTES]);
});
