import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { DurableStore, initialState, type DurableState } from '../../src/supervise/durable-state.js';
import { pathsOf, type ResourcePaths } from '../../src/common/paths.js';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';

const uuid = '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f';
const state: DurableState = { ...initialState(uuid), generation: 3, owner: 'n1', sync: 'solo' };

async function emptyFolder(): Promise<ResourcePaths> {
  const folder = await mkdtemp('/tmp/kemari-state-');
  onTestFinished(() => rm(folder, { recursive: true }));
  return pathsOf('vm1', { KEMARI_STATE_DIR: folder });
}

test('what was written is read, and nothing else is left beside it', async () => {
  const paths = await emptyFolder();
  await new DurableStore(paths).write(state);
  expect(await new DurableStore(paths).load()).toMatchObject({ generation: 3, owner: 'n1', sync: 'solo' });
  expect(await readdir(paths.state_dir)).toEqual(['state.json']);
});

test('a crash between writing aside and renaming leaves the old state', async () => {
  const paths = await emptyFolder();
  const store = new DurableStore(paths);
  await store.write(state);
  await writeFile(`${paths.state}.new`, '{"version":1,"vm_u');
  expect(await store.load()).toMatchObject({ generation: 3 });
  await store.write({ ...state, generation: 4 });
  expect(await store.load()).toMatchObject({ generation: 4 });
});

test.each([
  ['empty', ''],
  ['torn', '{"version":1,"vm_uuid":"6f1c'],
  ['of zeros', '\0'.repeat(200)],
  ['without generation', JSON.stringify({ ...state, generation: undefined })],
  ['of a negative generation', JSON.stringify({ ...state, generation: -1 })],
  ['with an unknown word', JSON.stringify({ ...state, sync: 'fine' })],
  ['with an unknown key', JSON.stringify({ ...state, more: 1 })],
])('a state %s is refused, not guessed', async (_, content) => {
  const paths = await emptyFolder();
  await mkdir(paths.state_dir);
  await writeFile(paths.state, content);
  const load = new DurableStore(paths).load();
  await expect(load).rejects.toMatchObject({ code: 'state-unusable' });
  await expect(load).rejects.toThrow('is damaged');
});

test('a state of a newer kemari is refused with what to do', async () => {
  const paths = await emptyFolder();
  await mkdir(paths.state_dir);
  await writeFile(paths.state, JSON.stringify({ version: 2, words: [] }));
  await expect(new DurableStore(paths).load()).rejects.toThrow('install the newer kemari');
});

test('a state of another VM is refused', async () => {
  const paths = await emptyFolder();
  await new DurableStore(paths).write(state);
  await expect(new DurableStore(paths).open('00000000-0000-4000-8000-000000000000')).rejects.toThrow(
    'belongs to VM',
  );
});

test('start refuses a damaged state, starts no engine, and keeps the file', async () => {
  const host = await Host.create();
  await mkdir(host.paths.state_dir, { recursive: true });
  await writeFile(host.paths.state, '{"version":1,');
  const started = await host.run('start');
  expect(started.code).toBe(1);
  expect(started.reason).toContain('state.json is damaged');
  expect(await host.journal()).toEqual([]);
  expect(await readFile(host.paths.state, 'utf8')).toBe('{"version":1,');
});

const isRoot = process.getuid?.() === 0;

/** A state folder of 32 KiB. */
async function tinyDisk(host: Host): Promise<string> {
  const folder = host.env['KEMARI_STATE_DIR'] ?? '';
  await mkdir(folder, { recursive: true });
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'kemari-test', folder]);
  onTestFinished(async () => {
    await execa('umount', ['--lazy', folder]);
  });
  return folder;
}

async function fill(folder: string): Promise<void> {
  await writeFile(`${folder}/ballast`, Buffer.alloc(1 << 20)).catch(() => undefined);
}

test.runIf(isRoot)('a full state folder refuses the start before any engine', async () => {
  const host = await Host.create();
  await fill(await tinyDisk(host));
  const started = await host.run('start');
  expect(started.code).toBe(1);
  expect(started.reason).toMatch(/state\.json cannot be written .*ENOSPC.*: free space/);
  expect(await host.journal()).toEqual([]);
});

test.runIf(isRoot)(
  'a state folder that fills up refuses the promotion before the engine is told',
  async () => {
    const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
    const folder = await tinyDisk(host);
    await host.run('start');
    await host.awaitState('protected', 2);
    await host.awaitScore('1000');
    await fill(folder);
    const promoted = await host.run('promote', { OCF_RESKEY_CRM_meta_timeout: '12000' });
    expect(promoted.code).toBe(1);
    expect(promoted.reason).toContain('ENOSPC');
    expect(await host.journal()).toEqual(['start']);
    expect(await host.attribute('master-vm1')).toBeUndefined();
    expect(await host.state()).toMatchObject({ generation: 2, sync: 'protected' });
    // The farewell would say "outdated", and no disk holds that word: no farewell.
    expect(await host.run('stop')).toMatchObject({ code: 0 });
    expect(await host.journal()).toEqual(['start']);
  },
);

test.runIf(isRoot)('a replica on a full state folder has no score until there is space again', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  const folder = await tinyDisk(host);
  await host.run('start');
  await host.awaitScore('1000');
  await fill(folder);
  await host.awaitScore(undefined);
  expect(await host.run('monitor')).toMatchObject({ code: 0 });
  expect((await host.run('status vm1')).stdout).toContain('ENOSPC');
  const promoted = await host.run('promote', { OCF_RESKEY_CRM_meta_timeout: '8000' });
  expect(promoted.code).toBe(1);
  expect(promoted.reason).toMatch(/state\.json cannot be written .*ENOSPC.*: free space/);
  await rm(`${folder}/ballast`);
  await host.awaitScore('1000');
});

test.runIf(isRoot)('a promotion waits for space, and has its score when it answers', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  const folder = await tinyDisk(host);
  await host.run('start');
  await host.awaitScore('1000');
  await fill(folder);
  await host.awaitScore(undefined);
  await host.direct({});
  const promoting = host.run('promote');
  await sleep(2_000);
  expect(await host.journal()).toEqual(['start']);
  await rm(`${folder}/ballast`);
  expect(await promoting).toMatchObject({ code: 0, reason: undefined });
  expect(await host.attribute('master-vm1')).toBe('10000');
  expect(await host.state()).toMatchObject({ generation: 3, owner: 'n1', sync: 'solo' });
});

test.runIf(isRoot)('a stop does not wait for a promotion that waits for space', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  const folder = await tinyDisk(host);
  await host.run('start');
  await host.awaitScore('1000');
  await fill(folder);
  const promoting = host.run('promote', { OCF_RESKEY_CRM_meta_timeout: '120000' });
  await sleep(1_000);
  expect(await host.run('stop')).toMatchObject({ code: 0, stderr: '' });
  expect((await promoting).code).toBe(1);
  expect(await host.journal()).toEqual(['start']);
});

test.runIf(isRoot)('a guest that runs keeps its score on a full disk', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'solo', generation: 2 } });
  const folder = await tinyDisk(host);
  await host.run('start');
  await host.awaitScore('10000');
  await host.awaitState('solo', 2);
  await fill(folder);
  await host.direct({ status: { role: 'primary', state: 'protected', generation: 2 } });
  await eventually('the failure is seen', async () => (await host.status())['failure'] !== null);
  expect(await host.attribute('master-vm1')).toBe('10000');
  await rm(`${folder}/ballast`);
  await host.awaitState('protected', 2);
  expect((await host.status())['failure']).toBeNull();
});

test.runIf(isRoot)('a read-only state folder refuses the start', async () => {
  const host = await Host.create();
  const folder = await tinyDisk(host);
  await mkdir(host.paths.state_dir);
  await execa('mount', ['-o', 'remount,ro', folder]);
  const started = await host.run('start');
  expect(started.code).toBe(1);
  expect(started.reason).toContain('EROFS');
});
