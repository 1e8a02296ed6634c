// What users of agents such as this one complain about, each as the behaviour that they would have wanted.
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, inject, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { eventually } from '../fixtures/eventually.js';
import { Host, type Script } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };
const receiving = { role: 'secondary', state: 'receiving', generation: 2 };
const protectedPrimary = { role: 'primary', state: 'protected', generation: 2 };
const isRoot = process.geteuid?.() === 0;

async function started(status: Readonly<Record<string, unknown>>, more: Script = {}): Promise<Host> {
  const host = await Host.create({ ...more, status });
  expect(await host.run('start')).toMatchObject({ code: 0 });
  return host;
}

/** What was written of an attribute, in order. */
async function writes(host: Host, attribute: string): Promise<string[]> {
  const calls = await readFile(join(host.folder, 'cluster', 'calls'), 'utf8').catch(() => '');
  return calls.split('\n').filter((line) => line.startsWith(attribute));
}

describe('stale data is promoted', () => {
  test('what was left behind is neither scored nor promoted, whatever the operator forces', async () => {
    const host = await started(receiving);
    await host.setAttribute('kemari-vm1-disk', 'n2', '9:n2:solo:secondary');
    for (const status of [receiving, { role: 'secondary', state: 'empty', generation: 0 }]) {
      await host.direct({ status });
      await eventually('it is seen', async () => {
        const { engine } = await host.status();
        return (engine as { state: string }).state === status.state;
      });
      expect((await host.run('promote')).code).toBe(1);
      await host.awaitScore(undefined);
    }
    expect(await host.journal()).toEqual(['start']);
  });
});

describe('a stale score blocks the survivor', () => {
  test('a score that an earlier life has left goes at the start, and at a stop that finds nothing', async () => {
    const host = await Host.create({ status: receiving });
    await host.setAttribute('master-vm1', 'n1', '10000');
    await host.run('start');
    await host.awaitScore(undefined);
    await host.run('stop');
    await host.setAttribute('master-vm1', 'n1', '10000');
    expect(await host.run('stop')).toMatchObject({ code: 0 });
    expect(await host.attribute('master-vm1')).toBeUndefined();
  });
});

describe('a hanging score update fails over a healthy node', () => {
  test('promote, monitor, reload and demote go on without an answer from the cluster', async () => {
    const host = await started(inSync);
    await host.direct({});
    await writeFile(join(host.folder, 'cluster', 'hangs'), '');
    for (const [action, code] of [
      ['promote', 0],
      ['monitor', 8],
      ['reload-agent', 0],
      ['monitor', 8],
      ['demote', 0],
      ['monitor', 0],
      ['stop', 0],
      ['monitor', 7],
    ] as const)
      expect([action, (await host.run(action)).code]).toEqual([action, code]);
  });
});

describe('what manages the VM hangs, and the node is fenced for it', () => {
  test('an engine that says nothing fails its monitor in time, with a reason, and its stop succeeds', async () => {
    const host = await started(protectedPrimary);
    await host.awaitScore('10000');
    await host.direct({ status: protectedPrimary, mute: 'status' });
    const monitored = await host.run('monitor', { OCF_RESKEY_CRM_meta_timeout: '20000' });
    expect(monitored.code).toBe(9);
    expect(monitored.reason).toMatch(/did not answer within/);
    expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '20000' })).toMatchObject({ code: 0 });
  });
});

describe('stop fails, because something of the VM has gone already', () => {
  test.each<[string, (host: Host) => Promise<void>]>([
    ['config', (host) => rm(host.config)],
    ['key', (host) => rm(join(host.folder, 'sync.key'))],
    ['engine', (host) => rm(join(host.folder, 'lib', 'kemari-engine'))],
    ['state folder', (host) => rm(join(host.folder, 'state'), { recursive: true })],
    ['run folder', (host) => rm(host.paths.run_dir, { recursive: true })],
    ['log folder', (host) => rm(host.paths.log_dir, { recursive: true })],
    [
      'record of who runs',
      async (host) => {
        await writeFile(host.paths.processes, '{"supervisor":');
      },
    ],
  ])('without the %s everything ends all the same', async (_, take) => {
    const host = await started(protectedPrimary);
    await host.awaitScore('10000');
    await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
    const { supervisor, engine, qemu } = await host.record();
    await take(host);
    expect(await host.run('stop', { OCF_RESKEY_sync_mode: 'nonsense' })).toMatchObject({ code: 0 });
    for (const one of [supervisor, engine, qemu]) expect(one && isAlive(one)).toBe(false);
    expect(existsSync(host.paths.run_dir)).toBe(false);
  });
});

describe('what runs is failed, because something that only a start needs has gone', () => {
  test('without description, key and programs a VM is monitored, moved and stopped', async () => {
    const host = await started(inSync);
    await host.awaitState('protected', 2);
    for (const file of [
      host.config,
      join(host.folder, 'sync.key'),
      join(host.folder, 'lib', 'kemari-engine'),
    ])
      await rm(file);
    await host.direct({});
    for (const [action, code] of [
      ['monitor', 0],
      ['promote', 0],
      ['monitor', 8],
      ['reload-agent', 0],
      ['demote', 0],
      ['monitor', 0],
      ['stop', 0],
    ] as const)
      expect([action, (await host.run(action)).code]).toEqual([action, code]);
    expect(await host.run('start')).toMatchObject({ code: 2 });
  });
});

describe('stop claims success while the VM lives', () => {
  test.runIf(isRoot)(
    'a process that outlives SIGKILL, as one that is blocked in the kernel, fails the stop',
    async () => {
      const host = await Host.create();
      await mkdir(host.paths.run_dir, { recursive: true });
      // The first process of a PID namespace outlives a SIGKILL from within it, as one that the kernel holds does.
      const story = `
      start=$(cut -d' ' -f22 /proc/1/stat)
      echo '{"qemu":{"pid":1,"start_time":'$start'},"promoted":true}' > ${host.paths.processes}
      ${process.execPath} ${inject('kemari')} stop; echo "stop $?"
      ${process.execPath} ${inject('kemari')} demote; echo "demote $?"
      kill -0 1 && echo alive`;
      const told = await execa('unshare', ['--pid', '--fork', '--mount-proc', 'bash', '-c', story], {
        env: host.env,
        extendEnv: false,
        reject: false,
      });
      expect(told.stdout.split('\n')).toEqual(['stop 1', 'demote 1', 'alive']);
      expect(told.stderr).toMatch(/ocf-exit-reason:processes? 1 of vm1 outlived SIGKILL/);
    },
  );
});

describe('lock files are to be deleted by hand after a failover', () => {
  test('killed at any moment, with all its files left behind, it starts again', async () => {
    const host = await started(inSync);
    await host.awaitScore('1000');
    await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
    const { supervisor, engine, qemu } = await host.record();
    send('SIGKILL', supervisor, engine, qemu);
    await eventually('all are gone', () => [supervisor, engine, qemu].every((one) => one && !isAlive(one)));
    for (const file of [host.paths.lock, host.paths.supervisor_socket, host.paths.processes])
      expect(existsSync(file)).toBe(true);
    for (const file of [host.paths.processes, host.paths.state, host.paths.spec])
      await writeFile(`${file}.new`, 'half a fi');
    expect(await host.run('monitor')).toMatchObject({ code: 7 });
    expect(await host.run('start')).toMatchObject({ code: 0, reason: undefined });
    await host.awaitScore('1000');
    expect(await host.run('stop')).toMatchObject({ code: 0 });
  });
});

describe('validate-all demands what a resource that is being created does not have', () => {
  test('no meta attribute is needed, on any level', async () => {
    const host = await Host.create();
    const bare = {
      OCF_RESKEY_CRM_meta_on_node: '',
      OCF_RESKEY_CRM_meta_timeout: '',
      OCF_RESOURCE_INSTANCE: '',
    };
    for (const level of ['0', '10'])
      expect(await host.run('validate-all', { ...bare, OCF_CHECK_LEVEL: level })).toMatchObject({ code: 0 });
    for (const meta of ['notify', 'promotable', 'master_max', 'clone_max'])
      expect(
        await host.run('validate-all', { ...bare, [`OCF_RESKEY_CRM_meta_${meta}`]: 'false' }),
      ).toMatchObject({ code: 0 });
  });
});

describe('metadata is slow, or for root only', () => {
  test.runIf(isRoot)('nobody gets it, with no environment', async () => {
    await chmod(dirname(inject('kemari')), 0o755);
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const told = await execa('setpriv', [...nobody, process.execPath, inject('kemari'), 'meta-data'], {
      env: {},
      extendEnv: false,
    });
    expect(told.stdout).toContain('<resource-agent name="vm"');
    expect(told.stderr).toBe('');
  });
});

describe('scores written inside a transition abort it', () => {
  test('a score is written when it changes, and neither by a monitor nor by an action that changes nothing', async () => {
    const host = await started(inSync);
    await host.awaitScore('1000');
    const before = await writes(host, 'master-vm1');
    const shown = await writes(host, 'kemari-vm1-disk');
    for (const action of ['monitor', 'demote', 'start', 'reload-agent', 'notify', 'monitor'])
      expect(await host.run(action)).toMatchObject({ code: 0 });
    // Some looks of the supervisor at everything.
    await sleep(3000);
    expect(await writes(host, 'master-vm1')).toEqual(before);
    expect(await writes(host, 'kemari-vm1-disk')).toEqual(shown);
    await host.direct({});
    await host.run('promote');
    await host.run('promote');
    await host.awaitScore('10000');
    await sleep(2000);
    expect(await writes(host, 'master-vm1')).toEqual([...before, 'master-vm1=10000']);
  });
});

describe('a VM is taken for dead because ps does not show it', () => {
  test('who lives is known without any program, whatever the processes are called', async () => {
    const host = await started(protectedPrimary, { disguise: 'other' });
    await host.awaitScore('10000');
    await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
    const { engine, qemu } = await host.record();
    for (const pid of [engine?.pid, qemu?.pid]) {
      expect(await readFile(`/proc/${pid ?? ''}/comm`, 'utf8')).toBe('other\n');
      expect(await readFile(`/proc/${pid ?? ''}/cmdline`, 'utf8')).toMatch(/^other\0/);
    }
    const blind = { PATH: '/nowhere' };
    expect(await host.run('monitor', blind)).toMatchObject({ code: 8 });
    send('SIGKILL', (await host.record()).supervisor);
    expect(await host.run('monitor', blind)).toMatchObject({ code: 8 });
    expect(await host.run('stop', blind)).toMatchObject({ code: 0 });
    for (const one of [engine, qemu]) expect(one && isAlive(one)).toBe(false);
  });

  test('a process that has got the number of one that ended is somebody else, and is left alone', async () => {
    const host = await Host.create();
    const other = execa('sleep', ['600']);
    await mkdir(host.paths.run_dir, { recursive: true });
    await writeFile(
      host.paths.processes,
      JSON.stringify({ engine: { pid: other.pid, start_time: 1 }, promoted: true }),
    );
    expect((await host.run('monitor')).code).toBe(9);
    expect(await host.run('stop')).toMatchObject({ code: 0 });
    expect(other.exitCode).toBeNull();
    other.kill();
    await other.catch(() => undefined);
  });
});
