import { rm, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

const recurring = { OCF_RESKEY_CRM_meta_interval: '10000' };

test.each([
  ['a guest', { role: 'primary', state: 'protected', generation: 2 }, '10000', 9],
  ['a replica', { role: 'secondary', state: 'in-sync', generation: 2 }, '1000', 1],
])(
  '%s whose run folder has vanished is failed and not gone, and only a stop ends it',
  async (_, status, score, code) => {
    const host = await Host.create({ status });
    await host.run('start');
    await host.awaitScore(score);
    await host.awaitState('protected', 2);
    await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
    const { supervisor, engine, qemu } = await host.record();
    const word = await host.attribute('kemari-vm1-disk');
    await rm(host.paths.run_dir, { recursive: true });
    const vanished = /^vm1 runs here \(process \d.*\), but its folder .*\/run\/vm1 has vanished: only a stop/;
    const seen = expect.stringMatching(vanished) as unknown;
    expect(await host.run('monitor')).toMatchObject({ code, reason: seen });
    expect(await host.run('monitor', recurring)).toMatchObject({ code, reason: seen });
    for (const action of ['start', 'promote', 'demote', 'reload-agent'])
      expect(await host.run(action)).toMatchObject({ code: 1, reason: seen });
    expect(await host.attribute('kemari-vm1-disk')).toBe(word);
    for (const one of [supervisor, engine, qemu]) expect(one && isAlive(one)).toBe(true);
    expect(await host.run('stop')).toMatchObject({ code: 0 });
    for (const one of [supervisor, engine, qemu]) expect(one && isAlive(one)).toBe(false);
    expect(await host.run('monitor')).toMatchObject({ code: 7, reason: undefined });
  },
);

test('a guest without a supervisor, and without a record of who runs, is still found', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'protected', generation: 2 } });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor, engine } = await host.record();
  send('SIGKILL', supervisor);
  await eventually('the supervisor is gone', () => supervisor !== undefined && !isAlive(supervisor));
  await writeFile(host.paths.processes, '{"supervisor":');
  expect(await host.run('monitor')).toMatchObject({ code: 8 });
  // The new supervisor has found the same engine, and has started none beside it.
  await eventually('a supervisor that has the engine on record', async () => {
    const { engine: recorded } = await host.record();
    return recorded?.pid === engine?.pid && (await host.status())['phase'] === 'running';
  });
  expect(await host.run('monitor')).toMatchObject({ code: 8, reason: undefined });
  expect((await host.journal()).filter((line) => line === 'start')).toHaveLength(1);
  expect(engine && isAlive(engine)).toBe(true);
});

test('a QEMU that has outlived its engine is not taken for one that is gone', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'protected', generation: 2 } });
  await host.run('start');
  await host.awaitScore('10000');
  await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
  const { supervisor, engine, qemu } = await host.record();
  send('SIGKILL', supervisor);
  send('SIGKILL', engine);
  await eventually('both are gone', () =>
    [supervisor, engine].every((one) => one !== undefined && !isAlive(one)),
  );
  // The fake one does not end with its engine, as the real one does unless the kernel holds it.
  expect(qemu && isAlive(qemu)).toBe(true);
  const monitored = await host.run('monitor');
  expect(monitored.code).toBe(9);
  expect(monitored.reason).toContain('has outlived');
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(qemu && isAlive(qemu)).toBe(false);
});

test('without a run folder and without processes actions say that nothing runs', async () => {
  const host = await Host.create();
  for (const action of ['demote', 'reload-agent', 'promote']) {
    const refused = await host.run(action);
    expect(refused.code).toBe(7);
    expect(refused.reason).toMatch(/^vm1 does not run on this node/);
  }
});
