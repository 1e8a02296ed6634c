import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { parameterList } from '../../src/pacemaker/parameters.js';

/** As pcs asks for it: no environment at all. */
async function metadata(): Promise<string> {
  const asked = await execa(process.execPath, [inject('kemari'), 'meta-data', 'ignored'], {
    extendEnv: false,
    env: {},
  });
  return asked.stdout;
}

test('metadata names every parameter and action', async () => {
  const xml = await metadata();
  for (const [name] of parameterList) expect(xml).toContain(`<parameter name="${name}"`);
  for (const action of ['start', 'stop', 'promote', 'demote', 'notify', 'meta-data', 'validate-all']) {
    expect(xml).toContain(`<action name="${action}"`);
  }
  expect(xml).toContain('role="Promoted"');
  expect(xml).toContain('role="Unpromoted"');
});

const dtd = '/usr/share/resource-agents';
test.runIf(existsSync(`${dtd}/ra-api-1.dtd`) && existsSync('/usr/bin/xmllint'))(
  'metadata is valid by the DTD that ocf-tester uses',
  async () => {
    const checked = await execa('xmllint', ['--noout', '--valid', '-'], {
      input: await metadata(),
      cwd: dtd,
      reject: false,
    });
    expect(checked).toMatchObject({ exitCode: 0, stderr: '' });
  },
);

const rng = '/usr/share/pcs/data/ocf-1.1.rng';
test.runIf(existsSync(rng) && existsSync('/usr/bin/xmllint'))(
  'metadata is valid by the OCF 1.1 schema that pcs uses',
  async () => {
    const args = ['--noout', '--nonet', '--relaxng', rng, '-'];
    expect((await execa('xmllint', args, { input: await metadata(), reject: false })).exitCode).toBe(0);
  },
);

test('what a running VM takes as it is, is reloadable; what it is, is not', async () => {
  const xml = await metadata();
  for (const name of ['sync_mode', 'commit', 'latency_budget', 'interval', 'paused_max', 'compression'])
    expect(xml).toContain(`<parameter name="${name}" required="0" reloadable="1">`);
  for (const name of ['sync_address', 'key', 'transport'])
    expect(xml).toContain(`<parameter name="${name}" required="0" reloadable="0">`);
  expect(xml).toContain('<parameter name="config" required="1" reloadable="0">');
});
