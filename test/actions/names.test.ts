import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '../fixtures/host.js';

const recurring = { OCF_RESKEY_CRM_meta_interval: '10000' };

test.each([
  ['a way out of its folder', '../../etc'],
  ['a colon', 'vm:a'],
  ['65 characters', 'v'.repeat(65)],
  ['a dot in front', '.vm'],
])(
  'a name with %s is refused by who begins something; a probe and a stop find nothing of it',
  async (_, name) => {
    const host = await Host.create();
    const named = { OCF_RESOURCE_INSTANCE: name };
    for (const action of ['start', 'validate-all', 'promote']) {
      const refused = await host.run(action, named);
      expect(refused.code).toBe(6);
      expect(refused.reason).toContain(`the resource name "${name}" cannot name a folder`);
    }
    expect(await host.run('monitor', named)).toMatchObject({ code: 7, reason: undefined });
    expect(await host.run('monitor', { ...named, ...recurring })).toMatchObject({
      code: 7,
      reason: `nothing of ${name} runs on this node`,
    });
    expect(await host.run('stop', named)).toMatchObject({ code: 0, reason: undefined });
    expect(existsSync(join(host.folder, 'run'))).toBe(false);
    expect(existsSync(join(host.folder, 'cluster', 'calls'))).toBe(false);
  },
);

test('a name that begins with "_", as Pacemaker takes it, is one like others', async () => {
  const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } }, '_vm');
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.run('start')).toMatchObject({ code: 0, reason: undefined });
  expect(await host.run('monitor')).toMatchObject({ code: 0 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
});
