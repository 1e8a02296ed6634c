// What people get wrong: each ends in a sentence that Pacemaker shows, never in a hang or a fenced node.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { domainPath, domainXml, writeDomain } from '../lab/kemari/domain.js';
import { createCommand, type Parameters } from '../lab/kemari/resource.js';
import type { FailedOperation } from '../lab/cluster-status.js';
import { waitFor } from '../lab/wait-for.js';
import { ProtectedGuest } from './protected-guest.js';

let hosts: ProtectedGuest;
beforeAll(async () => {
  hosts = await ProtectedGuest.hosts();
});
afterAll(() => hosts.lab.down());

/** Creates a resource that cannot start, returns what Pacemaker says about it, and deletes it again. */
async function failureOf(resource: string, parameters: Parameters = {}): Promise<FailedOperation> {
  const { lab } = hosts;
  await lab.node('n1').run(createCommand(lab, resource, parameters));
  const failure = await waitFor(
    `a failure of ${resource} in crm_mon`,
    async () => (await lab.status('n1')).failures.find((one) => one.operation.startsWith(resource)),
    { timeout_ms: 60_000 },
  );
  await lab.node('n1').run(['pcs', 'resource', 'delete', resource]);
  await lab.settled(60_000);
  for (const node of lab.nodes) expect(await lab.power.isOn(node)).toBe(true);
  return failure;
}

test('a description that does not exist', async () => {
  const { exit_reason } = await failureOf('missing');
  expect(exit_reason).toContain(domainPath('missing'));
  expect(exit_reason).toMatch(/does not exist/);
});

test('a description that is cut off', async () => {
  await writeDomain(hosts.lab, 'garbled', domainXml().slice(0, 200));
  expect((await failureOf('garbled')).exit_reason).toMatch(/garbled\.xml:\d+: not a libvirt domain/);
});

test('a misspelt element', async () => {
  await writeDomain(hosts.lab, 'misspelt', domainXml().replaceAll('vcpu', 'vpcu'));
  expect((await failureOf('misspelt')).exit_reason).toMatch(/misspelt\.xml:\d+: .*vcpu/);
});

test('a disk, which this version has not', async () => {
  const disk = "<disk type='file' device='disk'><source file='/d.qcow2'/><target dev='vda'/></disk>";
  await writeDomain(hosts.lab, 'diskful', domainXml().replace('<devices>', `<devices>${disk}`));
  expect((await failureOf('diskful')).exit_reason).toMatch(
    /\[disk\] vda is not supported yet: this version has no disks/,
  );
});

test('a kernel that is not there', async () => {
  await writeDomain(hosts.lab, 'kernelless', domainXml({ kernel: '/nowhere/vmlinuz' }));
  expect((await failureOf('kernelless')).exit_reason).toMatch(/\/nowhere\/vmlinuz/);
});

test('addresses that do not name the nodes', async () => {
  await writeDomain(hosts.lab, 'placeless', domainXml());
  const { exit_reason } = await failureOf('placeless', { sync_address: 'a:10.0.0.1;b:10.0.0.2' });
  expect(exit_reason).toMatch(/sync_address names a and b, but this node is n\d/);
});

test('no addresses at all', async () => {
  await writeDomain(hosts.lab, 'lonely', domainXml());
  const { exit_reason } = await failureOf('lonely', { sync_address: '' });
  expect(exit_reason).toMatch(/no node has the attribute kemari-sync-address/);
});

test('a cluster that has fencing turned off', async () => {
  await writeDomain(hosts.lab, 'unfenced', domainXml());
  const set = (value: string): Promise<string> =>
    hosts.lab.node('n1').run(['pcs', 'property', 'set', `stonith-enabled=${value}`]);
  await set('false');
  try {
    expect((await failureOf('unfenced')).exit_reason).toMatch(/fencing is turned off in this cluster/);
  } finally {
    await set('true');
  }
});

test('a sync port that something else has', async () => {
  await writeDomain(hosts.lab, 'portless', domainXml());
  const listen =
    'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 7901, Listen => 1, ReuseAddr => 1) or die; sleep';
  for (const node of hosts.lab.nodes) await hosts.lab.node(node).start(['perl', '-e', listen]);
  const { exit_reason } = await failureOf('portless', { sync_port: '7901' });
  expect(exit_reason).toMatch(/7901/);
  for (const node of hosts.lab.nodes) await hosts.lab.node(node).run(['bash', '-c', 'kill $(pidof perl)']);
});

test('a state folder on a full disk', async () => {
  await writeDomain(hosts.lab, 'diskless', domainXml());
  for (const node of hosts.lab.nodes) {
    const fill =
      'mkdir -p /var/lib/kemari/diskless && mount -t tmpfs -o size=4k,nr_inodes=8 tmpfs /var/lib/kemari/diskless && ' +
      '{ dd if=/dev/zero of=/var/lib/kemari/diskless/filler bs=4k count=8 2>/dev/null; true; }';
    await hosts.lab.node(node).run(['bash', '-c', fill]);
  }
  expect((await failureOf('diskless')).exit_reason).toMatch(/space|full|ENOSPC/i);
});
