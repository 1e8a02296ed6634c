import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };

test('an engine that cannot start gives its own last words, and leaves nothing behind', async () => {
  const host = await Host.create({ behaviour: 'dies-early' });
  const started = await host.run('start');
  expect(started).toMatchObject({
    code: 5,
    reason: 'the kernel has no userfaultfd WP_ASYNC: use Linux 6.7 or newer',
  });
  expect(existsSync(host.paths.run_dir)).toBe(false);
});

test('a port that is taken may be free at the next try: not a missing requirement', async () => {
  const message = '10.77.2.1:7900 is in use by another process';
  const host = await Host.create({ behaviour: 'dies-early', code: 'port-taken', exit: 3, message });
  expect(await host.run('start')).toMatchObject({ code: 1, reason: message });
});

test('an engine that is never ready fails the start within its time-out and is killed', async () => {
  const host = await Host.create({ behaviour: 'never-ready' });
  const started = await host.run('start', { OCF_RESKEY_CRM_meta_timeout: '5000' });
  expect(started.code).toBe(1);
  expect(started.reason).toContain('not ready within');
  expect(existsSync(host.paths.run_dir)).toBe(false);
});

test('an engine that speaks no protocol fails the start', async () => {
  const host = await Host.create({ behaviour: 'garbage' });
  const started = await host.run('start');
  expect(started.code).toBe(1);
  expect(started.reason).toContain('does not speak version 1');
});

test('a missing engine is a missing requirement', async () => {
  const host = await Host.create();
  await rm(join(host.folder, 'lib', 'kemari-engine'));
  const started = await host.run('start');
  expect(started.code).toBe(5);
  expect(started.reason).toContain('kemari-engine cannot be run (ENOENT)');
});

test('cluster tools that hang hold up neither start nor monitor nor stop', async () => {
  const host = await Host.create({ status: inSync });
  await writeFile(join(host.folder, 'cluster', 'hangs'), '');
  expect(await host.run('start')).toMatchObject({ code: 0 });
  expect(await host.run('monitor')).toMatchObject({ code: 0 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
});

test('the supervisor keeps little memory for new objects, and hands its own settings of node to nobody', async () => {
  const host = await Host.create({ status: inSync });
  // Somebody else's would be for somebody else's programs.
  expect(await host.run('start', { NODE_OPTIONS: '--stack-trace-limit=3' })).toMatchObject({ code: 0 });
  const { supervisor, engine } = await host.record();
  const options = async (pid: number | undefined): Promise<string[]> =>
    (await readFile(`/proc/${pid ?? 0}/environ`, 'utf8'))
      .split('\0')
      .filter((entry) => entry.startsWith('NODE_OPTIONS='));
  expect(await options(supervisor?.pid)).toEqual(['NODE_OPTIONS=--max-semi-space-size=2']);
  expect(await options(engine?.pid)).toEqual([]);
});

test.runIf(process.geteuid?.() === 0)('start needs root, wherever its folders are', async () => {
  const host = await Host.create();
  // A user namespace without a mapping: the user in it is nobody.
  const started = await execa('unshare', ['--user', process.execPath, inject('kemari'), 'start'], {
    env: host.env,
    extendEnv: false,
    reject: false,
  });
  expect(started.exitCode).toBe(4);
  expect(started.stderr).toContain('needs root');
  expect(existsSync(host.paths.run_dir)).toBe(false);
  expect(await host.journal()).toEqual([]);
});

test('a console log that is there stays as it is; one that cannot be made is named before any engine', async () => {
  const host = await Host.create({ status: inSync });
  await mkdir(host.paths.log_dir, { recursive: true });
  await writeFile(host.paths.console_log, 'what the guest said before\n');
  expect(await host.run('start')).toMatchObject({ code: 0 });
  expect(await readFile(host.paths.console_log, 'utf8')).toBe('what the guest said before\n');
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  await host.describe({ console_log: '/nowhere/vm1.console' });
  const started = await host.run('start');
  expect(started.code).toBe(1);
  expect(started.reason).toContain('the console log /nowhere/vm1.console cannot be created');
  expect((await host.journal()).filter((line) => line === 'start')).toHaveLength(1);
});

test('the addresses of the sync network may be attributes of the nodes', async () => {
  const host = await Host.create({ status: inSync });
  const unset = { OCF_RESKEY_sync_address: '' };
  const nodes = (addresses: readonly string[]): Promise<void> =>
    writeFile(
      join(host.folder, 'cluster', 'nodes.xml'),
      `<nodes>${addresses
        .map(
          (address, index) =>
            `<node id="${index + 1}" uname="n${index + 1}"><instance_attributes id="a${index}"><nvpair id="b${index}" name="kemari-sync-address" value="${address}"/></instance_attributes></node>`,
        )
        .join('')}</nodes>`,
    );
  await nodes([]);
  expect((await host.run('start', unset)).reason).toContain('no node has the attribute kemari-sync-address');
  await nodes(['10.0.0.1']);
  expect((await host.run('start', unset)).reason).toContain('only n1 has the attribute');
  await nodes(['10.0.0.1', 'host']);
  expect((await host.run('start', unset)).reason).toContain('of n2 is "host": write an address');
  await nodes(['10.0.0.1:7901', '10.0.0.2']);
  expect(await host.run('start', { ...unset, OCF_RESKEY_sync_port: '7902' })).toMatchObject({ code: 0 });
  expect(JSON.parse(await readFile(host.paths.spec, 'utf8'))).toMatchObject({
    listen: { address: '10.0.0.1', port: 7901 },
    peers: [{ node: 'n2', address: '10.0.0.2', port: 7902 }],
  });
});

test('a cluster that has fencing turned off gets no VM, unless that is what somebody wants', async () => {
  const host = await Host.create({ status: inSync });
  const property = (name: string, value: string): Promise<void> =>
    writeFile(
      join(host.folder, 'cluster', 'crm_config.xml'),
      `<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="a" name="${name}" value="${value}"/></cluster_property_set></crm_config>`,
    );
  for (const name of ['stonith-enabled', 'fencing-enabled']) {
    await property(name, 'false');
    const refused = await host.run('start');
    expect(refused.code).toBe(6);
    expect(refused.reason).toContain('fencing is turned off in this cluster');
  }
  expect(await host.run('start', { OCF_RESKEY_allow_unfenced: 'true' })).toMatchObject({ code: 0 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  await property('stonith-enabled', 'true');
  expect(await host.run('start')).toMatchObject({ code: 0 });
});

test('the cluster is told what the VM takes of a host, once, and only if that is wanted', async () => {
  const host = await Host.create({ status: inSync });
  const calls = async (): Promise<string[]> =>
    (await readFile(join(host.folder, 'cluster', 'calls'), 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line.startsWith('utilization-'));
  expect(
    await host.run('start', {
      OCF_RESKEY_autoset_utilization_cpu: 'no',
      OCF_RESKEY_autoset_utilization_hv_memory: 'no',
    }),
  ).toMatchObject({ code: 0 });
  expect(await calls()).toEqual([]);
  for (let time = 0; time < 2; time += 1) {
    expect(await host.run('stop')).toMatchObject({ code: 0 });
    expect(await host.run('start')).toMatchObject({ code: 0 });
    expect(await calls()).toEqual(['utilization-cpu=1', 'utilization-hv_memory=256']);
  }
});

test('a start of what runs already, whose supervisor cannot be started again, leaves the guest alone and says why', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'protected', generation: 2 } });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor, engine } = await host.record();
  const flock = join(host.folder, 'bin', 'flock');
  await writeFile(flock, '#!/bin/sh\nexit 1\n');
  await chmod(flock, 0o755);
  send('SIGKILL', supervisor);
  await eventually('the supervisor is gone', () => supervisor !== undefined && !isAlive(supervisor));
  const refused = await host.run('start');
  expect(refused.code).toBe(1);
  expect(refused.reason).toMatch(/^vm1 runs, but nobody supervises it, and no supervisor can be started: /);
  expect(engine && isAlive(engine)).toBe(true);
  await rm(flock);
  expect(await host.run('start')).toMatchObject({ code: 0, reason: undefined });
  expect((await host.record()).engine).toEqual(engine);
  expect(await host.journal()).toEqual(['start']);
});
