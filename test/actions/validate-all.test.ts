import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '../fixtures/host.js';

test('level 0 judges the parameters alone: the tool that creates a resource may run anywhere', async () => {
  const host = await Host.create();
  await rm(host.config);
  expect(await host.run('validate-all')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.run('validate-all', { OCF_CHECK_LEVEL: '10' })).toMatchObject({ code: 2 });
});

test.each([
  ['no config', { OCF_RESKEY_config: '' }, 'parameter config is missing'],
  ['a relative config', { OCF_RESKEY_config: 'vm1.xml' }, 'parameter config must be an absolute path'],
  [
    'a log level that is none',
    { OCF_RESKEY_log_level: 'loud' },
    'must be one of trace, debug, info, warn, error',
  ],
  ['a mode that is none', { OCF_RESKEY_sync_mode: 'sometimes' }, 'must be one of adaptive, event, interval'],
  [
    'a budget beyond its bound',
    { OCF_RESKEY_latency_budget: '2s' },
    'must be a time from 0 to 1s in whole ms',
  ],
  ['a port that is none', { OCF_RESKEY_sync_port: '0' }, 'must be a whole number from 1 to 65535'],
  ['one address', { OCF_RESKEY_sync_address: 'n1:10.0.0.1' }, 'must be those of both nodes'],
  ['a relative key', { OCF_RESKEY_key: 'sync.key' }, 'must be an absolute path'],
])('%s is wrong on every node', async (_, env, reason) => {
  const host = await Host.create();
  for (const action of ['validate-all', 'start']) {
    const result = await host.run(action, env);
    expect(result.code).toBe(6);
    expect(result.reason).toContain(reason);
  }
});

test('level 10 judges this host: config, files, programs', async () => {
  const host = await Host.create();
  const level10 = { OCF_CHECK_LEVEL: '10' };
  expect(await host.run('validate-all', level10)).toMatchObject({ code: 0, reason: undefined });
  await host.describe({ memory: '1' });
  expect(await host.run('validate-all', level10)).toMatchObject({ code: 2 });
  await host.describe({ kernel: '/nowhere/vmlinuz' });
  expect(await host.run('validate-all', level10)).toMatchObject({ code: 5 });
  await host.describe({ emulator: '/nowhere/qemu' });
  expect(await host.run('validate-all', level10)).toMatchObject({ code: 5 });
  await host.describe();
  await rm(join(host.folder, 'lib', 'libkemari_preload.so'));
  expect(await host.run('validate-all', level10)).toMatchObject({ code: 5 });
});

test('start refuses what level 10 refuses, and leaves nothing behind', async () => {
  const host = await Host.create();
  await writeFile(host.config, '<domain');
  expect(await host.run('start')).toMatchObject({ code: 2 });
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.journal()).toEqual([]);
});

test('an unknown action is 3, notify is 0, and an action without a resource is refused', async () => {
  const host = await Host.create();
  expect(await host.run('migrate_to')).toMatchObject({ code: 3 });
  expect(await host.run('notify')).toMatchObject({ code: 0 });
  expect(await host.run('monitor', { OCF_RESOURCE_INSTANCE: '' })).toMatchObject({ code: 6 });
  expect(await host.run('monitor more arguments')).toMatchObject({ code: 7 });
});
