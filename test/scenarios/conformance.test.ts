// The agent as the cluster's own tools see it, installed on a node.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parameterList } from '../../src/pacemaker/parameters.js';
import { domainPath, domainXml, writeDomain } from '../lab/kemari/domain.js';
import { AGENT } from '../lab/kemari/install.js';
import { neededParameters } from '../lab/kemari/resource.js';
import type { ExecResult } from '../lab/place.js';
import { ProtectedGuest } from './protected-guest.js';

let hosts: ProtectedGuest;
beforeAll(async () => {
  hosts = await ProtectedGuest.hosts();
  await writeDomain(hosts.lab, 'vm1', domainXml());
});
afterAll(() => hosts.lab.down());

function type(...command: readonly string[]): Promise<ExecResult> {
  return hosts.lab.node('n1').exec(command);
}

test.each([
  ['pcs', ['pcs', 'resource', 'describe', 'ocf:kemari:vm', '--full']],
  ['crmsh', ['crm', 'ra', 'info', 'ocf:kemari:vm']],
  ['crm_resource', ['crm_resource', '--show-metadata', 'ocf:kemari:vm']],
])('%s knows every parameter', async (_, command) => {
  const { exit_code, stdout, stderr } = await type(...command);
  expect(exit_code, stderr).toBe(0);
  for (const [name] of parameterList) expect(stdout).toContain(name);
  expect(stdout).toMatch(/reload-agent|reloadable/);
});

test('pcs creates a resource with the monitors that the agent advises, of each level', async () => {
  const script = `cibadmin --query > /tmp/cib.xml && pcs -f /tmp/cib.xml resource create plain ocf:kemari:vm config=${domainPath('vm1')} promotable && pcs -f /tmp/cib.xml resource config plain`;
  const { exit_code, stdout, stderr } = await type('bash', '-c', script);
  expect(exit_code, stderr).toBe(0);
  const monitors = stdout.split(/monitor: plain-monitor/).slice(1);
  expect(monitors).toHaveLength(3);
  expect(monitors.filter((one) => /role=Promoted/.test(one) && /OCF_CHECK_LEVEL=20/.test(one))).toHaveLength(
    1,
  );
});

test('metadata needs no rights, no environment and no program', async () => {
  const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', '-i', 'PATH=/bin'];
  const { exit_code, stdout, stderr } = await type(...nobody, AGENT, 'meta-data', 'and', 'more');
  expect([exit_code, stderr]).toEqual([0, '']);
  expect(stdout).toContain('<resource-agent name="vm"');
});

test.each([
  ['what is needed', [`config=${domainPath('vm1')}`], '0', 0, ''],
  ['nothing', [], '0', 6, 'parameter config is missing'],
  ['a wrong parameter', [`config=${domainPath('vm1')}`, 'sync_mode=never'], '0', 6, 'must be one of'],
  ['a description that is not there', ['config=/etc/kemari/none.xml'], '0', 0, ''],
  [
    'a description that is not there, on this host',
    ['config=/etc/kemari/none.xml'],
    '10',
    2,
    'does not exist',
  ],
  [
    'a key that is not there, on this host',
    [`config=${domainPath('vm1')}`, 'sync_address=n1:10.77.2.1;n2:10.77.2.2', 'key=/etc/kemari/none.key'],
    '10',
    5,
    'does not exist',
  ],
])('crm_resource --validate with %s', async (_, parameters, level, code, reason) => {
  const options = parameters.flatMap((one) => ['--option', one]);
  const validate = ['crm_resource', '--validate', '--class', 'ocf', '--provider', 'kemari', '--agent', 'vm'];
  const { exit_code, stdout, stderr } = await type(
    'env',
    `OCF_CHECK_LEVEL=${level}`,
    ...validate,
    ...options,
  );
  expect(`${stdout}${stderr}`).toContain(reason);
  expect(exit_code, `${stdout}${stderr}`).toBe(code);
});

test('an action that does not exist, and arguments that nobody asked for', async () => {
  const env = [
    'env',
    'OCF_ROOT=/usr/lib/ocf',
    'OCF_RESOURCE_INSTANCE=vm1',
    `OCF_RESKEY_config=${domainPath('vm1')}`,
  ];
  expect(await type(...env, AGENT, 'migrate_to')).toMatchObject({ exit_code: 3 });
  expect(await type(...env, AGENT, 'monitor', 'and', 'more')).toMatchObject({ exit_code: 7 });
  expect(await type(...env, AGENT, 'stop')).toMatchObject({ exit_code: 0 });
});

test('ocf-tester finds nothing, on a real cluster with the real engine and QEMU', async () => {
  const { lab } = hosts;
  await writeDomain(lab, 'vm', domainXml());
  const parameters = Object.entries(neededParameters(lab, 'vm'));
  // As Pacemaker does before a first start: only a node whose probe was answered has had nothing.
  const env = parameters.map(([name, value]) => `OCF_RESKEY_${name}=${value}`);
  const probe = ['env', 'OCF_ROOT=/usr/lib/ocf', 'OCF_RESOURCE_INSTANCE=vm', ...env, AGENT, 'monitor'];
  expect(await lab.exec('n2', probe)).toMatchObject({ exit_code: 7 });
  const options = parameters.flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const tester = ['env', 'OCF_ROOT=/usr/lib/ocf', 'ocf-tester', '-v', '-n', 'vm', ...options, AGENT];
  const { exit_code, stdout, stderr } = await lab.exec('n1', tester, { timeout_ms: 400_000 });
  expect(`${stdout}${stderr}`).toContain(`${AGENT} passed all tests`);
  expect(exit_code).toBe(0);
  // It was a guest that was promoted: booted first, and from where it was after a demote. Nothing of it is left.
  const log = await lab.node('n1').run(['cat', '/var/log/kemari/vm.log']);
  for (const mode of ['cold', 'hot']) expect(log).toContain(`"mode":"${mode}"`);
  expect((await lab.exec('n1', ['pidof', 'kemari', 'kemari-engine', 'qemu-system-x86_64'])).stdout).toBe('');
});
