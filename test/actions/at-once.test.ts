// Two actions on one resource at once, as Pacemaker and an operator may have them: each gets a true answer, and what is left is
// what the later one wanted.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { eventually } from '../fixtures/eventually.js';
import { Host, type ActionResult } from '../fixtures/host.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };
const protectedPrimary = { role: 'primary', state: 'protected', generation: 2 };

async function started(status: Readonly<Record<string, unknown>>, more = {}): Promise<Host> {
  const host = await Host.create({ status, ...more });
  expect(await host.run('start')).toMatchObject({ code: 0 });
  return host;
}

const codes = (results: readonly ActionResult[]): number[] => results.map(({ code }) => code);
const times = (count: number, host: Host, action: string, env = {}): Promise<ActionResult>[] =>
  Array.from({ length: count }, () => host.run(action, env));

test('a monitor beside a stop says that it runs or that it does not, and never that it failed', async () => {
  const host = await started(protectedPrimary);
  await host.awaitScore('10000');
  const recurring = { OCF_RESKEY_CRM_meta_interval: '5000', OCF_CHECK_LEVEL: '20' };
  const stopping = host.run('stop');
  const seen = codes(
    await Promise.all([...times(4, host, 'monitor'), ...times(4, host, 'monitor', recurring)]),
  );
  expect(seen.filter((code) => code !== 8 && code !== 7)).toEqual([]);
  expect(await stopping).toMatchObject({ code: 0 });
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
});

test('a monitor beside a start says that it runs or that it does not', async () => {
  const host = await Host.create({ status: inSync });
  const starting = host.run('start');
  const seen = codes(await Promise.all(times(6, host, 'monitor')));
  expect(seen.filter((code) => code !== 0 && code !== 7)).toEqual([]);
  expect(await starting).toMatchObject({ code: 0, reason: undefined });
  expect(await host.journal()).toEqual(['start']);
});

test('two stops at once both succeed, and end everything once', async () => {
  const host = await started(protectedPrimary);
  await host.awaitScore('10000');
  const { supervisor, engine, qemu } = await host.record();
  expect(codes(await Promise.all(times(2, host, 'stop')))).toEqual([0, 0]);
  for (const one of [supervisor, engine, qemu]) expect(one === undefined || !isAlive(one)).toBe(true);
  expect(existsSync(host.paths.run_dir)).toBe(false);
  expect((await host.journal()).filter((line) => line.includes('press-power-button'))).toHaveLength(1);
});

test('three starts of which two meet what the first has made start one engine', async () => {
  const host = await Host.create({ status: inSync });
  expect(codes(await Promise.all(times(3, host, 'start')))).toEqual([0, 0, 0]);
  expect(await host.journal()).toEqual(['start']);
  const { supervisor } = await host.record();
  expect(supervisor && isAlive(supervisor)).toBe(true);
});

test('two demotes at once hand the guest over once', async () => {
  const host = await started(protectedPrimary);
  await host.awaitScore('10000');
  expect(codes(await Promise.all(times(2, host, 'demote')))).toEqual([0, 0]);
  expect((await host.journal()).filter((line) => line.includes('demote'))).toHaveLength(1);
});

test('a reload beside a demote does not disturb it, and both are done', async () => {
  const host = await started(protectedPrimary);
  await host.awaitScore('10000');
  const env = { OCF_RESKEY_sync_mode: 'interval' };
  const results = await Promise.all([host.run('demote'), host.run('reload-agent', env), host.run('monitor')]);
  expect(codes(results).slice(0, 2)).toEqual([0, 0]);
  expect([0, 8]).toContain(results[2].code);
  const journal = await host.journal();
  expect(journal.filter((line) => line.includes('"demote"'))).toHaveLength(1);
  expect(journal.filter((line) => line.includes('"interval"'))).toHaveLength(1);
});

test('a stop beside a promote ends what the promote may have begun', async () => {
  const host = await started(inSync, { mute: 'promote' });
  await host.awaitState('protected', 2);
  const { engine, qemu } = await host.record();
  const promoting = host.run('promote');
  await eventually('the engine was told to promote', async () =>
    (await host.journal()).some((line) => line.includes('"promote"')),
  );
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect((await promoting).code).not.toBe(0);
  for (const one of [engine, qemu]) expect(one === undefined || !isAlive(one)).toBe(true);
  expect(await host.attribute('master-vm1')).toBeUndefined();
});

/** What may be said of a start whose resource is being stopped under it. */
const OVERTAKEN =
  /is being stopped|the supervisor ended at once|the supervisor was not ready within|engine and supervisor ended unexpectedly|cannot be read/;

test('a start after a stop that is still under way runs, or says that it was overtaken; a second one runs', async () => {
  const host = await started(inSync);
  const stopping = host.run('stop');
  const starting = await host.run('start');
  expect(await stopping).toMatchObject({ code: 0 });
  if (starting.code !== 0) {
    expect(starting.code).toBe(1);
    expect(starting.reason).toMatch(OVERTAKEN);
  }
  expect(await host.run('start')).toMatchObject({ code: 0, reason: undefined });
  await host.awaitScore('1000');
});

test('a start beside a stop of a guest that takes its time to power off does not cut its power', async () => {
  const host = await started(protectedPrimary, { deaf: true });
  await host.awaitScore('10000');
  const { engine } = await host.record();
  const stopping = host.run('stop');
  await eventually('the guest has been asked', async () =>
    (await host.journal()).some((line) => line.includes('press-power-button')),
  );
  const refused = await host.run('start');
  expect(refused).toMatchObject({ code: 1, reason: 'vm1 is being stopped: start it when that is done' });
  expect(engine && isAlive(engine)).toBe(true);
  await host.direct({ status: { state: 'ended' } });
  expect(await stopping).toMatchObject({ code: 0 });
  expect((await host.journal()).filter((line) => line === 'start')).toHaveLength(1);
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
});

test('a demote beside a promote is done before it or after it', async () => {
  const host = await started(inSync);
  await host.awaitState('protected', 2);
  await host.direct({});
  expect(codes(await Promise.all([host.run('promote'), host.run('demote')]))).toEqual([0, 0]);
  const orders = (await host.journal()).filter((line) => line.startsWith('{'));
  expect(orders.filter((line) => line.includes('"promote"'))).toHaveLength(1);
  const demoted = orders.at(-1)?.includes('"demote"') === true;
  expect(orders).toHaveLength(demoted ? 2 : 1);
  expect(await host.run('monitor')).toMatchObject({ code: demoted ? 0 : 8 });
});

test('a promote beside a start waits for what starts, or says that nothing runs yet', async () => {
  const host = await Host.create({ status: inSync });
  const starting = host.run('start');
  const promotions = await Promise.all(times(4, host, 'promote'));
  expect(await starting).toMatchObject({ code: 0, reason: undefined });
  for (const { code, reason } of promotions)
    if (code !== 0)
      expect([code, reason]).toEqual([7, 'vm1 does not run on this node: start it before promoting it']);
  const journal = await host.journal();
  expect(journal.filter((line) => line === 'start')).toHaveLength(1);
  const promoted = journal.filter((line) => line.includes('"promote"')).length;
  expect(promoted).toBe(promotions.some(({ code }) => code === 0) ? 1 : 0);
  expect(await host.run('monitor')).toMatchObject({ code: promoted === 1 ? 8 : 0 });
});

test('of two reloads at once the later one is what the engine has, and what a later supervisor will read', async () => {
  const host = await started(inSync);
  const interval = (ms: number): Promise<ActionResult> =>
    host.run('reload-agent', { OCF_RESKEY_sync_mode: 'interval', OCF_RESKEY_interval: `${ms}ms` });
  expect(codes(await Promise.all([interval(10), interval(30), interval(50)]))).toEqual([0, 0, 0]);
  const given = (await host.journal()).filter((line) => line.includes('"configure"'));
  expect(given).toHaveLength(3);
  const { tuning } = JSON.parse(given.at(-1) ?? '') as { tuning: unknown };
  expect(JSON.parse(await readFile(host.paths.spec, 'utf8'))).toMatchObject({ tuning });
});
