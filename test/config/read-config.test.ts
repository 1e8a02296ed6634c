import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tapName, translate } from '../../src/config/engine-spec.js';
import { checkRequirements, readVmConfig } from '../../src/config/read-config.js';
import { AgentError } from '../../src/common/error.js';
import { pathsOf } from '../../src/common/paths.js';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp('/tmp/kemari-config-');
  file = join(folder, 'vm1.json');
});
afterAll(() => rm(folder, { recursive: true }));

const good = {
  uuid: '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f',
  memory_mib: 256,
  vcpus: 1,
  kernel: '/boot/vmlinuz',
  initrd: '/boot/initrd',
  cmdline: 'console=ttyS0',
  interfaces: [{ mac: '52:54:00:6b:00:01', bridge: 'br0' }],
  sync: { n1: { address: '10.77.2.1', port: 7900 }, n2: { address: '10.77.2.2', port: 7900 } },
};

async function errorOf(content: string): Promise<AgentError> {
  await writeFile(file, content);
  const error: unknown = await readVmConfig(file).catch((thrown: unknown) => thrown);
  if (!(error instanceof AgentError)) throw new Error('the config was taken');
  return error;
}

test('what is left out gets its default', async () => {
  await writeFile(file, JSON.stringify(good));
  expect(await readVmConfig(file)).toEqual({
    ...good,
    qemu: '/usr/bin/qemu-system-x86_64',
    machine: 'pc-i440fx-7.2',
    cpu: 'qemu64,svm=off,vmx=off',
    accel: 'auto',
    tracker: 'auto',
    firmware: '/usr/share/seabios/bios-256k.bin',
    transport: 'tls',
    key: '/etc/kemari/sync.key',
    tuning: {
      sync_mode: 'adaptive',
      commit: 'pipelined',
      interval_ms: 20,
      latency_budget_ms: 5,
      paused_max_percent: 75,
      compression: 'auto',
    },
    limits: {
      max_epoch_age_ms: 100,
      max_epoch_bytes: 16_777_216,
      hold_bytes: 4_194_304,
      ack_timeout_ms: 3000,
      time_catch_up_max_ms: 15_000,
      wake_latency_us: 0,
    },
  });
});

describe('a wrong key is one sentence that names file, key and remedy', () => {
  const cases: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ['uuid', { uuid: 'x' }, 'key "uuid" must be a UUID (uuidgen makes one), the same on both nodes'],
    ['memory too small', { memory_mib: 1 }, 'key "memory_mib" must be a whole number from 32 to 1048576'],
    ['memory as text', { memory_mib: '256' }, 'key "memory_mib" must be a whole number from 32 to 1048576'],
    ['half a CPU', { vcpus: 0.5 }, 'key "vcpus" must be a whole number from 1 to 64'],
    ['unversioned machine', { machine: 'pc' }, 'key "machine" must be a versioned machine type such as'],
    ['argument smuggled in', { cpu: 'qemu64 -daemonize' }, 'key "cpu" must be a QEMU name such as'],
    ['accelerator', { accel: 'xen' }, 'key "accel" must be auto, kvm or tcg'],
    ['tracker', { tracker: 'dirty-log' }, 'key "tracker" must be auto, pagemap-scan or compare'],
    ['another encryption', { transport: 'ssl' }, 'key "transport" must be tls, or plain on a network'],
    ['relative key', { key: 'sync.key' }, 'key "key" must be an absolute path'],
    ['relative path', { kernel: 'vmlinuz' }, 'key "kernel" must be an absolute path'],
    ['relative firmware', { firmware: './bios' }, 'key "firmware" must be an absolute path'],
    ['relative initrd', { initrd: 'initrd' }, 'key "initrd" must be an absolute path'],
    ['relative QEMU', { qemu: 'qemu' }, 'key "qemu" must be an absolute path'],
    ['relative console', { console_log: 'console' }, 'key "console_log" must be an absolute path'],
    ['command line', { cmdline: 7 }, 'key "cmdline" must be text'],
    ['no interface', { interfaces: [] }, 'key "interfaces" must hold exactly one interface'],
    [
      'two interfaces',
      { interfaces: [good.interfaces[0], good.interfaces[0]] },
      'must hold exactly one interface',
    ],
    ['interface that is none', { interfaces: {} }, 'key "interfaces" must be a list of interfaces'],
    [
      'multicast MAC',
      { interfaces: [{ mac: '53:54:00:6b:00:01', bridge: 'br0' }] },
      'key "interfaces.0.mac" must be a unicast MAC',
    ],
    [
      'no bridge',
      { interfaces: [{ mac: '52:54:00:6b:00:01' }] },
      'key "interfaces.0.bridge" is missing: add it',
    ],
    [
      'long TAP',
      { interfaces: [{ ...good.interfaces[0], tap: 'a-name-of-16-let' }] },
      'key "interfaces.0.tap" must be the name of',
    ],
    ['one node', { sync: { n1: good.sync.n1 } }, 'key "sync" must name exactly two nodes'],
    ['three nodes', { sync: { ...good.sync, n3: good.sync.n1 } }, 'key "sync" must name exactly two nodes'],
    [
      'host name',
      { sync: { ...good.sync, n1: { address: 'host', port: 1 } } },
      'key "sync.n1.address" must be an IPv4 or IPv6',
    ],
    [
      'port',
      { sync: { ...good.sync, n1: { address: '10.0.0.1', port: 0 } } },
      'key "sync.n1.port" must be a whole number from 1 to 65535',
    ],
    ['unknown key', { memroy_mib: 256 }, 'unknown key "memroy_mib": remove it or correct its spelling'],
    [
      'unknown inner key',
      { sync: { ...good.sync, n1: { ...good.sync.n1, tls: true } } },
      'unknown key "sync.n1.tls"',
    ],
    [
      'a mode that does not exist',
      { tuning: { sync_mode: 'sometimes' } },
      'key "tuning.sync_mode" must be event, interval or adaptive',
    ],
    [
      'a compression that does not exist',
      { tuning: { compression: 'gzip' } },
      'key "tuning.compression" must be off, lz4, zstd or auto',
    ],
    [
      'a budget beyond its bound',
      { tuning: { latency_budget_ms: 1001 } },
      'key "tuning.latency_budget_ms" must be a whole number from 0 to 1000',
    ],
    ['a limit that does not exist', { limits: { epochs: 1 } }, 'unknown key "limits.epochs"'],
  ];
  test.each(cases)('%s', async (_, change, sentence) => {
    const error = await errorOf(JSON.stringify({ ...good, ...change }));
    expect(error.code).toBe('bad-config');
    expect(error.message).toContain(`${file}: `);
    expect(error.message).toContain(sentence);
    expect(error.message).not.toContain('\n');
  });

  test.each(['uuid', 'memory_mib', 'vcpus', 'kernel', 'initrd', 'cmdline', 'interfaces', 'sync'])(
    'without %s',
    async (key) => {
      const error = await errorOf(JSON.stringify({ ...good, [key]: undefined }));
      expect(error.message).toBe(`${file}: key "${key}" is missing: add it`);
    },
  );
});

test.each([
  ['no JSON', '{', 'is not JSON'],
  ['nothing', '', 'is not JSON'],
  ['a list', '[]', 'must hold one JSON object'],
  ['null', 'null', 'must hold one JSON object'],
  ['too much', `{"cmdline":"${'x'.repeat(300_000)}"}`, 'a config file has at most'],
])('a file that holds %s is refused', async (_, content, sentence) => {
  expect((await errorOf(content)).message).toContain(sentence);
});

test('a file that is not there, and a folder, are refused', async () => {
  await expect(readVmConfig(join(folder, 'none.json'))).rejects.toThrow('does not exist');
  await expect(readVmConfig(folder)).rejects.toThrow('is not a file');
});

test('a file that the config names and the host lacks is a missing requirement', async () => {
  await writeFile(file, JSON.stringify({ ...good, firmware: file, kernel: join(folder, 'none') }));
  const error: unknown = await checkRequirements(file, await readVmConfig(file)).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'missing-requirement' });
  expect((error as AgentError).message).toContain(`key "kernel" names ${join(folder, 'none')}`);
});

test('of a section that is given in part the rest has its defaults', async () => {
  await writeFile(file, JSON.stringify({ ...good, tuning: { sync_mode: 'interval', interval_ms: 7 } }));
  const { tuning } = await readVmConfig(file);
  expect(tuning).toMatchObject({ sync_mode: 'interval', commit: 'pipelined', interval_ms: 7 });
});

test('a node that the config does not name is told which it names', async () => {
  await writeFile(file, JSON.stringify(good));
  const config = await readVmConfig(file);
  expect(() => translate(config, file, 'n3', pathsOf('vm1', {}), '/lib')).toThrow(
    'names n1 and n2, but this node is n3',
  );
});

test('the name of a TAP device always fits, and differs between resources', () => {
  const names = ['vm1', 'a-resource-with-a-long-name', 'a-resource-with-a-long-name2', 'dots.in.it'].map(
    tapName,
  );
  for (const name of names) expect(name).toMatch(/^[a-z0-9_-]{1,15}$/);
  expect(new Set(names).size).toBe(names.length);
  expect(names[0]).toBe('kvm1');
});
