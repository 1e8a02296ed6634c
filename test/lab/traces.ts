// What a lab must not leave behind.
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { expect } from 'vitest';

/** Command lines of every process that has to do with a run folder. */
export async function processesOf(run: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(run)) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

export async function expectNothingLeft(run: string): Promise<void> {
  expect(existsSync(run)).toBe(false);
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(run);
  expect(await processesOf(run)).toEqual([]);
}
