import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { parameters } from '../../src/pacemaker/parameters.js';

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
  for (const { name } of parameters) expect(xml).toContain(`<parameter name="${name}"`);
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

test
  .runIf(existsSync('/usr/share/pcs/data/ocf-1.1.rng') && existsSync('/usr/bin/xmllint'))
  .each(['ocf-1.0', 'ocf-1.1'])('metadata is valid by the schema %s', async (schema) => {
  const args = ['--noout', '--nonet', '--relaxng', `/usr/share/pcs/data/${schema}.rng`, '-'];
  expect((await execa('xmllint', args, { input: await metadata(), reject: false })).exitCode).toBe(0);
});
