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

const xmllint = '/usr/bin/xmllint';

/** What xmllint says against the metadata by a schema; nothing if it is valid. */
async function complaintsBy(schema: string, xml: string): Promise<string> {
  const args = ['--noout', '--nonet', '--relaxng', schema, '-'];
  const { exitCode, stderr } = await execa(xmllint, args, { input: xml, reject: false });
  return exitCode === 0 ? '' : stderr;
}

// The standard's own schema is in no package of Debian 12; Pacemaker 3 has a copy of it.
const schemas = ['/usr/share/pcs/data/ocf-1.1.rng', '/usr/share/pacemaker/api/ocf-ra-1.1.rng'].filter(
  (schema, index) => index === 0 || existsSync(schema),
);
test.for(schemas)('metadata is valid by the OCF 1.1 schema %s', async (schema, { skip }) => {
  skip(!existsSync(schema) || !existsSync(xmllint), `${schema} or ${xmllint} is missing`);
  expect(await complaintsBy(schema, await metadata())).toBe('');
});

const ofAgents = `${dtd}/metadata.rng`;
test.runIf(existsSync(ofAgents) && existsSync(xmllint))(
  'metadata is valid by the schema of resource-agents, but for the word that OCF 1.1 has added',
  async () => {
    const xml = await metadata();
    expect(await complaintsBy(ofAgents, xml.replaceAll(/ reloadable="[01]"/g, ''))).toBe('');
  },
);

test('every parameter has a type that OCF 1.1 knows', async () => {
  const types = [...(await metadata()).matchAll(/<content type="([^"]*)"/g)].map(([, type]) => type);
  expect(types).toHaveLength(parameterList.length);
  for (const type of types) expect(['boolean', 'integer', 'string']).toContain(type);
});

test('what a running VM takes as it is, is reloadable; what it is, is not', async () => {
  const xml = await metadata();
  for (const name of ['sync_mode', 'commit', 'latency_budget', 'interval', 'paused_max', 'compression'])
    expect(xml).toContain(`<parameter name="${name}" required="0" reloadable="1">`);
  for (const name of ['sync_address', 'key', 'transport'])
    expect(xml).toContain(`<parameter name="${name}" required="0" reloadable="0">`);
  expect(xml).toContain('<parameter name="config" required="1" reloadable="0">');
});
