import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };
const protectedPrimary = { role: 'primary', state: 'protected', generation: 2 };
test('a promoted engine that is killed loses its score, and its QEMU; demote and stop succeed', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const { engine, qemu } = await host.record();
  send('SIGKILL', engine);
  await host.awaitScore(undefined);
  await eventually('QEMU is gone', () => qemu !== undefined && !isAlive(qemu));
  const monitored = await host.run('monitor');
  expect(monitored.code).toBe(9);
  expect(monitored.reason).toContain('engine ended');
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
});

test('a secondary engine that is killed is not running, and can be started again', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  await host.awaitScore('1000');
  send('SIGKILL', (await host.record()).engine);
  await host.awaitScore(undefined);
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.run('start')).toMatchObject({ code: 0, reason: undefined });
  await host.awaitScore('1000');
});

const reports = async (host: Host) =>
  (await host.clusterCalls()).filter((call) => call.includes('failed on'));

test('the loss of a secondary engine is reported to Pacemaker, once', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  await host.awaitScore('1000');
  send('SIGKILL', (await host.record()).engine);
  await eventually('it is reported', async () => (await reports(host)).length > 0);
  // Looks at everything, monitors and what follows a report bring no second one.
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await reports(host)).toEqual(['vm1 failed on n1']);
  // There was no guest to be shut down.
  expect(await readFile(host.paths.log, 'utf8')).not.toContain('like by a power cut');
});

test('the loss of a promoted engine is reported when it has been demoted and the other node has had its turn', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  await host.setCluster('busy');
  send('SIGKILL', (await host.record()).engine);
  await host.awaitScore(undefined);
  const recurring = { OCF_RESKEY_CRM_meta_interval: '10000' };
  expect((await host.run('monitor', recurring)).code).toBe(9);
  expect((await host.clusterCalls()).filter((call) => /failed on|asked/.test(call))).toEqual([]);
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  // The monitor that begins now must not have it started before the other node is promoted.
  expect((await host.run('monitor', recurring)).code).toBe(190);
  expect((await host.run('monitor')).code).toBe(7);
  expect(await reports(host)).toEqual([]);
  await host.setCluster('busy', false);
  await eventually('it is reported', async () => (await reports(host)).length > 0);
  await eventually('a monitor finds it', async () => (await host.run('monitor', recurring)).code === 7);
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await reports(host)).toEqual(['vm1 failed on n1']);
});

test('a loss is not reported into a transition that is under way, nor when a stop has come', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  await host.awaitScore('1000');
  await host.setCluster('busy');
  send('SIGKILL', (await host.record()).engine);
  const looks = async () => (await host.clusterCalls()).filter((call) => call.includes('asked n2'));
  await eventually('it is waited for', async () => (await looks()).length > 2);
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  await host.setCluster('busy', false);
  expect(await reports(host)).toEqual([]);
});

test('a demote of a dead or hanging engine is done when its score has gone', async () => {
  const host = await Host.create({ status: { ...protectedPrimary, data_thread_idle_ms: 20_000 } });
  await host.run('start');
  await host.awaitScore('10000');
  await host.setCluster('slow-writes');
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.attribute('master-vm1')).toBeUndefined();
});

test('an engine that ends by itself gives its own reason', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const exit = { name: 'guest-lost', code: 4, message: 'QEMU (pid 4242) was ended by signal 9' };
  await host.direct({ status: protectedPrimary, exit });
  await host.awaitScore(undefined);
  expect(await host.run('monitor')).toMatchObject({ code: 9, reason: exit.message });
});

test('a supervisor that is killed is replaced by the next monitor; the engine lives on', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const before = await host.record();
  send('SIGKILL', before.supervisor);
  await eventually(
    'the supervisor is gone',
    () => before.supervisor !== undefined && !isAlive(before.supervisor),
  );
  expect(await host.run('monitor')).toMatchObject({ code: 8, reason: undefined });
  await eventually('a new supervisor', async () => (await host.status())['phase'] === 'running');
  const after = await host.record();
  expect(after.supervisor?.pid).not.toBe(before.supervisor?.pid);
  expect(after.engine).toEqual(before.engine);
  expect(await host.journal()).toEqual(['start']);
  // It notices the engine's end although it is not its parent.
  send('SIGKILL', after.engine);
  await host.awaitScore(undefined);
  await eventually('monitor says failed', async () => (await host.run('monitor')).code === 9);
});

test('a promote after the supervisor was killed still promotes', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  await host.awaitState('protected', 2);
  send('SIGKILL', (await host.record()).supervisor);
  expect(await host.run('promote')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.run('monitor')).toMatchObject({ code: 8 });
});

test('supervisor and engine killed together: failed where the guest ran, then demote and stop succeed', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  await eventually('the record says promoted', async () => (await host.record()).promoted);
  const { supervisor, engine } = await host.record();
  send('SIGKILL', supervisor, engine);
  await eventually('both are gone', () => [supervisor, engine].every((one) => one && !isAlive(one)));
  expect((await host.run('monitor')).code).toBe(9);
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await host.attribute('master-vm1')).toBeUndefined();
});

test('a primary whose data thread is stuck fails its monitor; demote kills it and succeeds', async () => {
  const host = await Host.create({ status: { ...protectedPrimary, data_thread_idle_ms: 20_000 } });
  await host.run('start');
  const monitored = await host.run('monitor');
  expect(monitored).toMatchObject({ code: 9, reason: "the engine's data thread has been stuck for 20 s" });
  const { engine } = await host.record();
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(engine && isAlive(engine)).toBe(false);
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
});

test('sockets, spec and state are for root alone, and a running resource shows its status', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  for (const file of [
    host.paths.supervisor_socket,
    host.paths.spec,
    host.paths.state,
    host.paths.log,
    host.paths.console_log,
  ]) {
    expect([file, (await stat(file)).mode & 0o777]).toEqual([file, 0o600]);
  }
  expect((await stat(host.paths.run_dir)).mode & 0o777).toBe(0o700);
  expect((await stat(host.paths.log_dir)).mode & 0o777).toBe(0o750);
  const shown = await host.run('status vm1 --json');
  expect(shown.code).toBe(0);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    resource: 'vm1',
    phase: 'running',
    engine: { state: 'in-sync' },
  });
  expect((await host.run('status')).stdout).toContain('vm1 on n1');
  expect(await readFile(host.paths.log, 'utf8')).toContain('supervisor started');
});

test('demote of a primary whose engine is a stopped process kills it and succeeds', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
  const { engine, qemu } = await host.record();
  send('SIGSTOP', engine, qemu);
  expect(await host.run('demote')).toMatchObject({ code: 0, reason: undefined });
  for (const one of [engine, qemu]) expect(one && isAlive(one)).toBe(false);
  await host.awaitScore(undefined);
});

test('a demote that waits is given up for a stop', async () => {
  const host = await Host.create({ behaviour: 'walks', mute: 'demote', status: protectedPrimary });
  await host.run('start');
  const demoting = host.run('demote');
  await eventually('the engine was told to demote', async () =>
    (await host.journal()).some((line) => line.includes('demote')),
  );
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect((await demoting).code).not.toBe(0);
  expect(existsSync(host.paths.run_dir)).toBe(false);
});

test('a supervisor that hangs is replaced by the next monitor', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor } = await host.record();
  send('SIGSTOP', supervisor);
  expect(await host.run('monitor', { OCF_RESKEY_CRM_meta_timeout: '6000' })).toMatchObject({ code: 8 });
  await eventually('a new supervisor', async () => (await host.status())['phase'] === 'running');
  expect(supervisor && isAlive(supervisor)).toBe(false);
});

test('after a promote that failed and the demote that follows, the replica is offered again', async () => {
  const refuse = { promote: { code: 'timeout', message: 'the device state did not load in time' } };
  const host = await Host.create({ status: inSync, refuse });
  await host.run('start');
  await host.awaitScore('1000');
  const offers = async () => (await host.clusterCalls()).filter((call) => call.startsWith('master-vm1'));
  const before = await offers();
  expect((await host.run('promote')).code).toBe(1);
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  const renewed = [...before, 'master-vm1 deleted', 'master-vm1=1000'];
  await eventually('another offer', async () => (await offers()).length === renewed.length);
  expect(await offers()).toEqual(renewed);
  await host.direct({});
  expect(await host.run('promote')).toMatchObject({ code: 0 });
});
