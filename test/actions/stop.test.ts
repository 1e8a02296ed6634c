import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
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
  const stopped = await host.run('stop', { OCF_RESKEY_CRM_meta_timeout: '8000' });
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

test('an engine that ignores stop is killed', async () => {
  const host = await Host.create({ behaviour: 'ignores-term', status: inSync });
  await host.run('start');
  const { engine } = await host.record();
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  expect(engine && isAlive(engine)).toBe(false);
});
