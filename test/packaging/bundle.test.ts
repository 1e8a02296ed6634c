import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bundle } from '../../packaging/build/bundle.mjs';

/** It is read, decoded and compiled by every monitor. */
const SMALL_BYTES = 40_000;

test('the file that starts is small and has nothing of node_modules; the other one has everything', async () => {
  const folder = await mkdtemp('/tmp/kemari-bundle-test-');
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'kemari.cjs');
  const { main, program } = await bundle(file);
  expect(main.filter((source) => !source.startsWith('src/'))).toEqual([]);
  expect(main).toContain('src/actions/monitor.ts');
  expect((await stat(file)).size).toBeLessThan(SMALL_BYTES);
  for (const part of ['src/actions/monitor-alone.ts', 'src/supervise/supervisor.ts', 'node_modules/yargs/'])
    expect(program.some((source) => source.startsWith(part))).toBe(true);
});
