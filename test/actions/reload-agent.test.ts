import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { killAndWait } from '../../src/common/process-identity.js';
import { Host } from '../fixtures/host.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };
const other = {
  OCF_RESKEY_sync_mode: 'interval',
  OCF_RESKEY_interval: '10ms',
  OCF_RESKEY_log_level: 'debug',
};
const tuning = {
  sync_mode: 'interval',
  commit: 'pipelined',
  interval_ms: 10,
  latency_budget_ms: 5,
  paused_max_percent: 75,
  compression: 'auto',
  freeze_timeout_ms: 60_000,
};

test('other values go to the running engine, and to whoever supervises it later', async () => {
  const host = await Host.create({ status: inSync });
  expect(await host.run('reload-agent', other)).toMatchObject({ code: 7 });
  expect(await host.run('start')).toMatchObject({ code: 0 });
  const before = await host.record();
  expect(await host.run('reload-agent', other)).toMatchObject({ code: 0, reason: undefined });
  const given = (await host.journal()).filter((line) => /configure|log-level/.test(line));
  expect(given.map((line) => JSON.parse(line) as unknown)).toEqual([
    { command: 'configure', tuning },
    { command: 'log-level', level: 'debug' },
  ]);
  // The same processes: whom the engine started itself may become known only after `start`.
  expect(await host.record()).toMatchObject(before);
  expect(JSON.parse(await readFile(host.paths.spec, 'utf8'))).toMatchObject({ tuning });
  expect(JSON.parse(await readFile(host.paths.launch, 'utf8'))).toMatchObject({ log_level: 'debug' });
});

test('a supervisor that is gone is started again for it', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  const { supervisor } = await host.record();
  if (!supervisor) throw new Error('there is no supervisor');
  await killAndWait([supervisor]);
  expect(await host.run('reload-agent', other)).toMatchObject({ code: 0 });
  expect((await host.journal()).some((line) => line.includes('"configure"'))).toBe(true);
});

test('a value that is wrong, or an engine that refuses, is said and changes nothing', async () => {
  const refuse = { configure: { code: 'bad-request', message: 'interval_ms is too short' } };
  const host = await Host.create({ status: inSync, refuse });
  await host.run('start');
  expect(await host.run('reload-agent', { OCF_RESKEY_commit: 'never' })).toMatchObject({ code: 6 });
  expect(await host.run('reload-agent', other)).toMatchObject({
    code: 1,
    reason: 'interval_ms is too short',
  });
  expect(JSON.parse(await readFile(host.paths.launch, 'utf8'))).toMatchObject({ log_level: 'info' });
});

test('the cluster is told what the running VM takes of a host, when that is wanted from now on', async () => {
  const host = await Host.create({ status: inSync });
  const wanted = (word: string): Record<string, string> => ({
    OCF_RESKEY_autoset_utilization_cpu: word,
    OCF_RESKEY_autoset_utilization_hv_memory: word,
  });
  const calls = async (): Promise<string[]> =>
    (await readFile(join(host.folder, 'cluster', 'calls'), 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line.startsWith('utilization-'));
  expect(await host.run('start', wanted('no'))).toMatchObject({ code: 0 });
  expect(await host.run('reload-agent', wanted('no'))).toMatchObject({ code: 0 });
  expect(await calls()).toEqual([]);
  // What the next start would make of it is not what runs.
  await host.describe({ memory: '512' });
  expect(await host.run('reload-agent', wanted('yes'))).toMatchObject({ code: 0, reason: undefined });
  expect(await calls()).toEqual(['utilization-cpu=1', 'utilization-hv_memory=256']);
  await rm(join(host.folder, 'bin', 'crm_resource'));
  expect(await host.run('reload-agent', wanted('yes'))).toMatchObject({ code: 0, reason: undefined });
});
