import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { Host } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

test('a supervisor that hangs does not keep the last copy from being promoted', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  await host.run('start');
  await host.awaitState('protected', 2);
  await host.awaitScore('1000');
  const { supervisor, engine } = await host.record();
  await host.direct({});
  send('SIGSTOP', supervisor);
  expect(await host.run('promote')).toMatchObject({ code: 0, reason: undefined });
  expect(supervisor && isAlive(supervisor)).toBe(false);
  expect(engine && isAlive(engine)).toBe(true);
  expect((await host.journal()).filter((line) => line.includes('promote'))).toEqual([
    '{"command":"promote","mode":"hot","generation":3}',
  ]);
  await host.awaitScore('10000');
});

test('a promote that takes long, of a supervisor that answers, is left alone', async () => {
  const status = { role: 'secondary', state: 'in-sync', generation: 2 };
  const host = await Host.create({ status, mute: 'promote' });
  await host.run('start');
  await host.awaitState('protected', 2);
  const { supervisor } = await host.record();
  expect((await host.run('promote', { OCF_RESKEY_CRM_meta_timeout: '12000' })).code).toBe(1);
  expect(supervisor && isAlive(supervisor)).toBe(true);
});
