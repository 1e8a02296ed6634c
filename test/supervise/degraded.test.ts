// What works less well than it could is degraded to a recurring monitor, and as it is to whoever asks what runs here.
import { expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.js';
import { Host } from '../fixtures/host.js';

const recurring = { OCF_RESKEY_CRM_meta_interval: '10000' };

test('a replica that takes long to be made, and one that is outdated, are 190 to a recurring monitor', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'receiving', generation: 2 } });
  await host.run('start');
  // Of a start it is a part, and no failed action.
  expect(await host.run('monitor', recurring)).toMatchObject({ code: 0 });
  let monitored = await host.run('monitor', recurring);
  await eventually('it takes long', async () => {
    monitored = await host.run('monitor', recurring);
    return monitored.code !== 0;
  });
  expect(monitored).toMatchObject({ code: 190, reason: 'the replica is not complete' });
  expect(await host.run('monitor')).toMatchObject({ code: 0 });
  await host.direct({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
  await host.awaitState('protected', 2);
  expect(await host.run('monitor', recurring)).toMatchObject({ code: 0, reason: undefined });
  await host.run('stop');
  // Back without its replica, and its disk says that the other node has gone on.
  await host.direct({ status: { role: 'secondary', state: 'empty', generation: 0 } });
  await host.run('start');
  await host.awaitState('outdated', 2);
  monitored = await host.run('monitor', recurring);
  expect(monitored.code).toBe(190);
  expect(monitored.reason).toMatch(/^outdated/);
  expect(await host.run('monitor')).toMatchObject({ code: 0 });
});
