// The demo cleans up after itself when a person has seen enough, or when it fails.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PROJECT } from '../lab/project.js';
import { expectNothingLeft, processesOf } from '../lab/traces.js';
import { waitFor } from '../lab/wait-for.js';

const GUEST_RUNS = 'every answer held until the other host has it';
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kemari-demo-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Starts the demo with its run folder under `folder`; returns when its guest is protected. */
async function startDemo() {
  const child = execa(process.execPath, [join(PROJECT, 'packaging/setup/bundled.mjs'), 'demo', '--json'], {
    env: { TMPDIR: folder },
    all: true,
    reject: false,
    forceKillAfterDelay: false,
  });
  let output = '';
  child.all.on('data', (text: Buffer) => (output += text.toString()));
  await waitFor('the guest to be protected', () => output.includes(GUEST_RUNS), { timeout_ms: 180_000 });
  const name = (await readdir(folder)).find((entry) => entry.startsWith('kemari-lab-'));
  if (name === undefined) throw new Error(`no lab in ${folder}:\n${output}`);
  return { child, run: join(folder, name) };
}

/** Processes of guests and clusters, wherever they run: the lab's are children of this machine's too. */
async function daemons(): Promise<string[]> {
  const { stdout } = await execa('ps', ['-eo', 'pid=,comm='], { reject: false });
  return stdout.split('\n').filter((line) => /kemari|qemu-system|corosync|pacemaker/.test(line));
}

test('Ctrl-C in the middle of it leaves nothing behind', async () => {
  const before = await daemons();
  const links = (await execa('ip', ['-brief', 'link'])).stdout;
  const { child, run } = await startDemo();
  expect(await daemons()).not.toEqual(before);
  child.kill('SIGINT');
  const { exitCode, all } = await child;
  expect(exitCode, all).toBe(130);
  expect(all).toContain('SIGINT: cleaning up');
  await expectNothingLeft(run);
  expect((await daemons()).filter((one) => !before.includes(one))).toEqual([]);
  expect((await execa('ip', ['-brief', 'link'])).stdout).toBe(links);
});

test('a demo that fails says so, ends and leaves logs, but no process', async () => {
  const before = await daemons();
  const { child, run } = await startDemo();
  // Both hosts are gone at once: nothing that it waits for can come.
  const hub = (await execa('ps', ['-eo', 'pid=,args='])).stdout
    .split('\n')
    .filter((line) => line.includes(`hub.sh ${run}`))
    .map((line) => Number.parseInt(line, 10));
  expect(hub.length).toBeGreaterThan(0);
  for (const pid of hub) process.kill(pid, 'SIGKILL');
  const { exitCode, all } = await child;
  expect(exitCode, all).toBe(1);
  expect(all).toMatch(/the demo failed/);
  expect(JSON.parse(all.trim().split('\n').at(-1) ?? '')).toHaveProperty('failed');
  expect(await processesOf(run)).toEqual([]);
  expect((await daemons()).filter((one) => !before.includes(one))).toEqual([]);
});
