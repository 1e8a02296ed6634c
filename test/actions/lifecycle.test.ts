import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '../fixtures/host.js';
import { eventually } from '../fixtures/eventually.js';
import { isAlive } from '../../src/common/process-identity.js';
import { initialState } from '../../src/supervise/durable-state.js';

test('a probe of a resource that was never started says not running', async () => {
  const host = await Host.create();
  expect(await host.run('monitor')).toMatchObject({ code: 7, reason: undefined });
});

test('a cold start, a promotion, a demotion and a stop', async () => {
  const host = await Host.create();
  await host.setAttribute('kemari-vm1-disk', 'n2', '0:-:none:secondary');
  expect(await host.run('start')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.run('start')).toMatchObject({ code: 0 });
  expect(await host.run('monitor')).toMatchObject({ code: 0 });
  expect(await host.run('monitor', { OCF_RESKEY_CRM_meta_interval: '10000' })).toMatchObject({ code: 0 });
  await host.awaitScore('5');

  expect(await host.run('promote')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.run('promote')).toMatchObject({ code: 0 });
  expect(await host.state()).toMatchObject({ generation: 1, owner: 'n1', role: 'primary', sync: 'solo' });
  await host.awaitScore('10000');
  expect(await host.run('monitor')).toMatchObject({ code: 8 });
  expect(await host.run('monitor', { OCF_RESKEY_CRM_meta_interval: '5000' })).toMatchObject({ code: 191 });
  await eventually(
    'the disk word says primary',
    async () => (await host.attribute('kemari-vm1-disk')) === '1:n1:solo:primary',
  );

  await host.direct({ status: { role: 'primary', state: 'protected', generation: 1 } });
  await host.awaitState('protected', 1);
  expect(await host.run('monitor', { OCF_RESKEY_CRM_meta_interval: '5000' })).toMatchObject({ code: 8 });

  await host.direct({ demoted: 'handed-over' });
  expect(await host.run('demote')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.state()).toMatchObject({
    generation: 1,
    owner: 'n1',
    role: 'secondary',
    sync: 'outdated',
  });

  const { supervisor, engine, qemu } = await host.record();
  expect(await host.run('stop')).toMatchObject({ code: 0, reason: undefined });
  for (const one of [supervisor, engine, qemu]) expect(one && isAlive(one)).toBe(false);
  expect(existsSync(host.paths.run_dir)).toBe(false);
  expect(await host.attribute('master-vm1')).toBeUndefined();
  // The other nodes may want to know what is on this one's disk.
  expect(await host.attribute('kemari-vm1-disk')).toBe('1:n1:outdated:stopped');
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect((await host.journal()).map((line) => line.replace(/"timeout_ms":\d+/, '"timeout_ms":0'))).toEqual([
    'start',
    '{"command":"promote","mode":"cold","generation":1}',
    '{"command":"demote","timeout_ms":0}',
    '{"command":"stop"}',
  ]);
});

test('a replica in sync is promoted hot, into a generation above the replica’s', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 6 } });
  await host.run('start');
  await host.awaitScore('1000');
  await host.awaitState('protected', 6);
  expect(await host.state()).toMatchObject({ owner: 'n2', role: 'secondary' });
  await host.direct({});
  expect(await host.run('promote')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.journal()).toContain('{"command":"promote","mode":"hot","generation":7}');
  expect(await host.state()).toMatchObject({ generation: 7, owner: 'n1', role: 'primary', sync: 'solo' });
});

test('an incomplete replica is refused with the reason, and the engine is not even asked', async () => {
  const host = await Host.create({
    status: {
      role: 'secondary',
      state: 'receiving',
      generation: 2,
      sync_progress: {
        percent: 43,
        round: 1,
        bytes: 1,
        bytes_per_second: 4_200_000,
        remaining_bytes: 151_000_000,
        remaining_seconds: 36,
        brake_percent: 60,
      },
    },
  });
  await host.run('start');
  const before = await host.state();
  const shown = await host.run('status vm1');
  expect(shown.stdout).toContain(
    '43%, round 1, 4 MiB/s, 144 MiB left, about 36 s, the guest is paused 60% of the time to let the link keep up\n',
  );
  const promoted = await host.run('promote');
  expect(promoted.code).toBe(1);
  expect(promoted.reason).toBe(
    'the replica on n1 is not complete (43%): promoting it would start a broken guest',
  );
  expect(await host.journal()).toEqual(['start']);
  expect(await host.state()).toEqual(before);
  await host.awaitScore(undefined);
});

test('an engine that refuses leaves the generation on disk as it was', async () => {
  const host = await Host.create({
    status: { role: 'secondary', state: 'in-sync', generation: 2 },
    refuse: { promote: { code: 'replica-incomplete', message: 'the replica of vm1 on n1 is not complete' } },
  });
  await host.run('start');
  await host.awaitState('protected', 2);
  const before = await host.state();
  expect(await host.run('promote')).toMatchObject({
    code: 1,
    reason: 'the replica of vm1 on n1 is not complete',
  });
  expect(await host.state()).toEqual(before);
});

test('a promotion that the engine never answers ends with the action’s time, and the disk claims no guest', async () => {
  const status = { role: 'secondary', state: 'in-sync', generation: 2 };
  const host = await Host.create({ status, mute: 'promote' });
  await host.run('start');
  await host.awaitState('protected', 2);
  const promoted = await host.run('promote', { OCF_RESKEY_CRM_meta_timeout: '6000' });
  expect(promoted.code).toBe(1);
  expect(promoted.reason).toMatch(/the engine did not answer within (\d{1,3}|1\d{3}|2000) ms/);
  await host.awaitState('protected', 3);
  expect(await host.state()).toMatchObject({ owner: 'n2', role: 'secondary' });
  await host.awaitScore('1000');
});

test('a cold start is refused while the other node runs the guest', async () => {
  const host = await Host.create();
  await host.setAttribute('kemari-vm1-disk', 'n2', '3:n2:protected:primary');
  await host.run('start');
  expect((await host.run('promote')).reason).toContain('n2 runs the guest of vm1');
});

test('a guest that was handed over is not booted anew where it was, and its score is gone before the answer', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'protected', generation: 2 } });
  await host.setAttribute('kemari-vm1-disk', 'n2', '2:n1:protected:secondary');
  await host.run('start');
  await host.awaitScore('10000');
  await host.direct({ demoted: 'handed-over' });
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.attribute('master-vm1')).toBeUndefined();
  // Pacemaker may have decided before that.
  expect(await host.run('promote')).toMatchObject({
    code: 1,
    reason: 'n2 has the newer guest of vm1 (generation 2, here 2): promote n2',
  });
  expect((await host.journal()).filter((line) => line.includes('"promote"'))).toEqual([]);
});

test('a solo guest that is demoted is parked, and a stop then leaves it clean', async () => {
  const host = await Host.create({ demoted: 'parked' });
  await host.setAttribute('kemari-vm1-disk', 'n2', '0:-:none:secondary');
  await host.run('start');
  await host.run('promote');
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.state()).toMatchObject({ role: 'secondary', sync: 'solo' });
  await host.awaitScore('1000');
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  // It has run on once more, to be shut down in order.
  expect(await host.state()).toMatchObject({ generation: 2, owner: 'n1', sync: 'clean' });
});

test('a replica that is stopped writes outdated before the engine says farewell', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  await host.run('start');
  await host.awaitState('protected', 2);
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await host.state()).toMatchObject({ generation: 2, owner: 'n2', sync: 'outdated' });
  expect(await host.journal()).toEqual(['start', '{"command":"stop"}']);
});

test('a frozen primary goes solo on the other’s word, with quorum, in a new durable generation', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'frozen', generation: 4 } });
  await host.run('start');
  await host.direct({
    status: { role: 'primary', state: 'frozen', generation: 4 },
    events: [{ event: 'peer-outdated', generation: 4 }],
  });
  await eventually('solo in generation 5', async () =>
    (await host.journal()).includes('{"command":"enter-solo","generation":5}'),
  );
  expect(await host.state()).toMatchObject({ generation: 5, owner: 'n1', sync: 'solo' });
});

test('two promotions and a monitor at once do not disturb each other', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  await host.run('start');
  await host.direct({});
  const results = await Promise.all([host.run('promote'), host.run('promote'), host.run('monitor')]);
  expect(results.slice(0, 2).map(({ code }) => code)).toEqual([0, 0]);
  const promotions = (await host.journal()).filter((line) => line.includes('promote'));
  expect(promotions).toHaveLength(1);
});

test('two starts at once start one engine', async () => {
  const host = await Host.create();
  const results = await Promise.all([host.run('start'), host.run('start')]);
  expect(results.map(({ code }) => code)).toEqual([0, 0]);
  expect(await host.journal()).toEqual(['start']);
});

test('a probe says what is on the disk of a node where nothing runs, and nothing of one that cannot be read', async () => {
  const host = await Host.create();
  const disk = () => host.attribute('kemari-vm1-disk');
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await disk()).toBe('0:-:none:stopped');
  await mkdir(dirname(host.paths.state), { recursive: true });
  const state = { ...initialState('6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f'), generation: 4, owner: 'n3' };
  await writeFile(host.paths.state, JSON.stringify({ ...state, sync: 'outdated' }));
  const recurring = { OCF_RESKEY_CRM_meta_interval: '10000' };
  expect(await host.run('monitor', recurring)).toMatchObject({ code: 7 });
  expect(await disk()).toBe('0:-:none:stopped');
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await disk()).toBe('4:n3:outdated:stopped');
  await writeFile(host.paths.state, '{');
  expect(await host.run('monitor')).toMatchObject({ code: 7, reason: undefined });
  expect(await disk()).toBeUndefined();
  await writeFile(join(host.folder, 'cluster', 'hangs'), '');
  expect(await host.run('monitor')).toMatchObject({ code: 7, reason: undefined });
});

test('one of three nodes boots the guest only when both others have said what is on their disks', async () => {
  const host = await Host.create();
  const three = { OCF_RESKEY_sync_address: 'n1:10.0.0.1;n2:10.0.0.2;n3:10.0.0.3' };
  await host.setAttribute('kemari-vm1-disk', 'n2', '0:-:none:secondary');
  expect(await host.run('start', three)).toMatchObject({ code: 0 });
  const refused = await host.run('promote', three);
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.reason).toContain('n3 is away: start n3');
  expect(await host.attribute('master-vm1')).toBeUndefined();
  await host.setAttribute('kemari-vm1-disk', 'n3', '0:-:none:secondary');
  await host.awaitScore('5');
  expect(await host.run('promote', three)).toMatchObject({ code: 0 });
});

test('of three nodes the one with the newest disk draws an instance to it when nothing runs', async () => {
  const three = { OCF_RESKEY_sync_address: 'n1:10.0.0.1;n2:10.0.0.2;n3:10.0.0.3' };
  const host = await Host.create();
  await mkdir(dirname(host.paths.state), { recursive: true });
  const state = { ...initialState('6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f'), generation: 4, owner: 'n1' };
  await writeFile(host.paths.state, JSON.stringify({ ...state, sync: 'clean' }));
  const probed = async (n2: string, n3: string, env: Readonly<Record<string, string>> = three) => {
    await host.setAttribute('kemari-vm1-disk', 'n2', n2);
    await host.setAttribute('kemari-vm1-disk', 'n3', n3);
    expect(await host.run('monitor', env)).toMatchObject({ code: 7, reason: undefined });
    return await host.attribute('master-vm1');
  };
  expect(await probed('4:n1:outdated:stopped', '2:n2:outdated:stopped')).toBe('900');
  expect(await probed('5:n2:clean:stopped', '2:n2:outdated:stopped')).toBeUndefined();
  expect(await probed('4:n1:outdated:secondary', '5:n3:solo:primary')).toBeUndefined();
  expect(await probed('4:n1:outdated:stopped', 'nothing')).toBeUndefined();
  // Of two each has an instance anyhow.
  expect(await probed('4:n1:outdated:secondary', '-', {})).toBeUndefined();
  // A stop says it too, also when it finds nothing to stop.
  await host.setAttribute('kemari-vm1-disk', 'n3', '2:n2:outdated:stopped');
  expect(await host.run('stop', three)).toMatchObject({ code: 0 });
  expect(await host.attribute('master-vm1')).toBe('900');
  // Whose replica was here goes on waiting for this node.
  await writeFile(host.paths.state, JSON.stringify({ ...state, owner: 'n2', sync: 'protected' }));
  expect(await probed('4:n2:protected:primary', '2:n2:outdated:secondary')).toBe('900');
  expect(await probed('5:n2:protected:primary', '5:n2:protected:secondary')).toBeUndefined();
  // Nobody runs: either of the two may boot it. A stop in the middle of a failover leaves that to others.
  expect(await probed('4:n2:protected:stopped', '2:n2:outdated:stopped')).toBe('900');
  expect(await host.run('stop', three)).toMatchObject({ code: 0 });
  expect(await host.attribute('master-vm1')).toBeUndefined();
});
