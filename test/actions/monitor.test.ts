import { expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';
import { send } from '../fixtures/send.js';

const recurring = { OCF_RESKEY_CRM_meta_interval: '10000' };

test('a recurring monitor that finds nothing running says why; for a probe that is no failure', async () => {
  const host = await Host.create({ status: { role: 'primary', state: 'ended', generation: 2 } });
  await host.run('start');
  const reason = 'the guest has powered itself off';
  expect(await host.run('monitor', recurring)).toMatchObject({ code: 7, reason });
  expect(await host.run('monitor')).toMatchObject({ code: 7, reason: undefined });
});

test('a recurring monitor says of what a replica was lost', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  await host.run('start');
  await host.awaitScore('1000');
  send('SIGKILL', (await host.record()).engine);
  await eventually('it is noticed', async () => (await host.status())['phase'] === 'lost');
  const found = await host.run('monitor', recurring);
  expect(found).toMatchObject({ code: 7, reason: expect.stringMatching(/./) as unknown });
  expect(await host.run('monitor')).toMatchObject({ code: 7, reason: undefined });
});

test('a recurring monitor of what somebody has stopped says so', async () => {
  const host = await Host.create();
  expect(await host.run('monitor', recurring)).toMatchObject({
    code: 7,
    reason: 'nothing of vm1 runs on this node',
  });
});
