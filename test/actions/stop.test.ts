import { existsSync } from 'node:fs';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { hangingFile } from '../fixtures/fifo.js';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };
const protectedPrimary = { role: 'primary', state: 'protected', generation: 2 };
test('stop ends everything although supervisor, engine and QEMU are stopped processes', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  await host.awaitState('protected', 2);
  await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
  const { supervisor, engine, qemu } = await host.record();
  send('SIGSTOP', supervisor, engine, qemu);
  const stopped = await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '12000' });
  expect(stopped).toMatchObject({ code: 0 });
  for (const one of [supervisor, engine, qemu]) expect(one && isAlive(one)).toBe(false);
  expect(existsSync(host.paths.run_dir)).toBe(false);
  expect(await host.state()).toMatchObject({ sync: 'outdated' });
});

test('stop needs neither config nor programs nor state folder nor run folder', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor, engine, qemu } = await host.record();
  await rm(host.config);
  await rm(join(host.folder, 'lib', 'kemari-engine'));
  await rm(join(host.folder, 'state'), { recursive: true });
  await rm(host.paths.run_dir, { recursive: true });
  expect(await host.run('stop', { OCF_RESKEY_config: '' })).toMatchObject({ code: 0 });
  await eventually('all are gone', () => [supervisor, engine, qemu].every((one) => one && !isAlive(one)));
});

test('a supervisor alone that is a stopped process makes room for one that lets the guest end in order', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor } = await host.record();
  send('SIGSTOP', supervisor);
  expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '120000' })).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button', 'stop']);
  expect(supervisor && isAlive(supervisor)).toBe(false);
});

/** A guest whose supervisor is dead; whoever would start another one takes its lock by this `flock`. */
async function unsupervised(flock: string): Promise<Host> {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor } = await host.record();
  const path = join(host.folder, 'bin', 'flock');
  await writeFile(path, flock);
  await chmod(path, 0o755);
  send('SIGKILL', supervisor);
  await eventually('the supervisor is gone', () => supervisor !== undefined && !isAlive(supervisor));
  return host;
}

test('a guest ends in order although no supervisor can be started', async () => {
  const host = await unsupervised('#!/bin/sh\nexit 1\n');
  expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '60000' })).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button', 'stop']);
  expect(await host.state()).toMatchObject({ sync: 'clean' });
});

test('an engine that ignores stop is killed', async () => {
  const host = await Host.create({ behaviour: 'ignores-term', status: inSync });
  await host.run('start');
  const { engine } = await host.record();
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(engine && isAlive(engine)).toBe(false);
});

const orders = async (host: Host): Promise<string[]> =>
  (await host.journal())
    .filter((line) => line.startsWith('{'))
    .map((line) => (JSON.parse(line) as { command: string }).command);

test.each(['solo', 'protected', 'syncing'])(
  'a guest that is %s is asked to power itself off before its engine is ended',
  async (state) => {
    const host = await Host.create({ status: { role: 'primary', state, generation: 2 } });
    await host.run('start');
    await host.awaitScore('10000');
    expect(await host.run('stop')).toMatchObject({ code: 0 });
    expect(await orders(host)).toEqual(['press-power-button', 'stop']);
    expect(await host.state()).toMatchObject({ sync: 'clean', generation: 2 });
  },
);

test.each([
  ['handed-over', 'secondary'],
  ['parked', 'secondary'],
])('a guest that is %s, the only copy, goes on to be shut down in order', async (state, role) => {
  const host = await Host.create({ status: { role, state, generation: 6 } });
  await host.run('start');
  await eventually('it is known', async () => (await host.state()).sync !== 'none');
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['promote', 'press-power-button', 'stop']);
  expect(await host.state()).toMatchObject({ sync: 'clean', generation: 7 });
});

test('a frozen guest, whose end nobody acknowledges, is not waited for after it has ended', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'frozen', generation: 2 } });
  await host.run('start');
  await host.awaitScore('10000');
  expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '600000' })).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button', 'stop']);
  // The other node's replica may be promoted.
  expect(await host.state()).toMatchObject({ sync: 'protected', generation: 2 });
});

test.each(['freeze', 'ack'])(
  'a frozen guest that is paused (%s) runs on, so that it can be shut down',
  async (paused_for) => {
    const status = { role: 'primary', state: 'frozen', generation: 2, guest: 'paused', paused_for };
    const host = await Host.create({ status });
    await host.run('start');
    await host.awaitScore('10000');
    expect(await host.run('monitor', { OCF_RESKEY_CRM_meta_interval: '5000' })).toMatchObject({ code: 191 });
    expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '30000' })).toMatchObject({ code: 0 });
    expect(await orders(host)).toEqual(['configure', 'press-power-button', 'stop']);
  },
);

test('a guest that does not listen is ended like by a power cut, in time', async () => {
  const host = await Host.create({ status: protectedPrimary, deaf: true });
  await host.run('start');
  await host.awaitScore('10000');
  const { engine } = await host.record();
  expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '26000' })).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button', 'stop']);
  expect(engine && isAlive(engine)).toBe(false);
});

test('force_stop, and a stop that has no time, ask nobody', async () => {
  for (const env of [{ OCF_RESKEY_force_stop: 'yes' }, { OCF_RESKEY_CRM_meta_timeout: '12000' }] as const) {
    const host = await Host.create({ status: protectedPrimary });
    await host.run('start');
    await host.awaitScore('10000');
    expect(await host.run('stop', env)).toMatchObject({ code: 0 });
    expect(await orders(host)).toEqual(['stop']);
  }
});

test('a secondary that is in sync or empty just ends: its guest runs elsewhere', async () => {
  const host = await Host.create({ status: inSync });
  await host.run('start');
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['stop']);
});

test('a supervisor that is dead is started again to let the guest end in order', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  const { supervisor } = await host.record();
  send('SIGKILL', supervisor);
  await eventually('the supervisor is gone', () => supervisor !== undefined && !isAlive(supervisor));
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button', 'stop']);
});

test('a supervisor that is dead may take its time to come back on a busy host', async () => {
  const host = await unsupervised('#!/bin/sh\nsleep 5\nexec /usr/bin/flock "$@"\n');
  expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '120000' })).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button', 'stop']);
});

test.each([
  ['takes no write', 'a replica', inSync, '1000', '.new'],
  ['takes no write', 'a guest', protectedPrimary, '10000', '.new'],
  ['cannot be read', 'a guest', protectedPrimary, '10000', ''],
])(
  'a disk that hangs and %s does not keep %s from being ended',
  async (_how, _what, status, score, suffix) => {
    const host = await Host.create({ status });
    await host.run('start');
    await host.awaitScore(score);
    await eventually('QEMU is on record', async () => (await host.record()).qemu !== undefined);
    const { supervisor, engine, qemu } = await host.record();
    await hangingFile(`${host.paths.state}${suffix}`);
    expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '15000' })).toMatchObject({ code: 0 });
    for (const one of [supervisor, engine, qemu]) expect(one && isAlive(one)).toBe(false);
    expect(existsSync(host.paths.run_dir)).toBe(false);
  },
);

test('a guest whose supervisor waits for a disk that hangs is asked to power itself off all the same', async () => {
  const host = await Host.create({ status: protectedPrimary });
  await host.run('start');
  await host.awaitScore('10000');
  await hangingFile(`${host.paths.state}.new`);
  // The next write waits for good, and all that comes after it.
  await host.direct({ status: { ...protectedPrimary, generation: 3 } });
  // Told as an event, which makes the supervisor write.
  await eventually('the engine has moved', async () =>
    JSON.stringify((await host.status())['engine']).includes('"generation":3'),
  );
  expect(await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '30000' })).toMatchObject({ code: 0 });
  expect((await orders(host))[0]).toBe('press-power-button');
});
