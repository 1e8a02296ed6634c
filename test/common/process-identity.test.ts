import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { identify, isAlive, killAndWait } from '../../src/common/process-identity.js';
import { readFileSync } from 'node:fs';
import { eventually } from '../fixtures/eventually.js';

function started(file: string, args: readonly string[]): number {
  const child = execa(file, args, { reject: false });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  if (child.pid === undefined) throw new Error(`${file} cannot be run`);
  return child.pid;
}

function stateOf(pid: number): string | undefined {
  return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1];
}

test('a process whose first thread has ended lives as long as another one does', async () => {
  // 60 is exit(2) on x86-64: of this one thread, without the group.
  const pid = started('perl', ['-Mthreads', '-e', 'threads->create(sub { sleep 3600 }); syscall(60, 0);']);
  await eventually('the first thread is a zombie', () => stateOf(pid) === 'Z');
  const identity = identify(pid);
  expect(identity).toBeDefined();
  if (!identity) return;
  expect(isAlive(identity)).toBe(true);
  expect(await killAndWait([identity])).toEqual([]);
  expect(isAlive(identity)).toBe(false);
});

test('a pid with another start time is another process', async () => {
  const pid = started('sleep', ['3600']);
  const identity = identify(pid);
  expect(identity && isAlive(identity)).toBe(true);
  const other = { pid, start_time: (identity?.start_time ?? 0) - 1 };
  expect(isAlive(other)).toBe(false);
  expect(await killAndWait([other])).toEqual([]);
  expect(identity && isAlive(identity)).toBe(true);
});
