// What people get wrong: each ends in a sentence that Pacemaker shows, never in a hang or a fenced node.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configPath, vmConfig, writeConfig } from '../lab/kemari/config.js';
import { createCommand } from '../lab/kemari/resource.js';
import type { FailedOperation } from '../lab/cluster-status.js';
import { waitFor } from '../lab/wait-for.js';
import { ProtectedGuest } from './protected-guest.js';

let hosts: ProtectedGuest;
beforeAll(async () => {
  hosts = await ProtectedGuest.hosts();
});
afterAll(() => hosts.lab.down());

/** Creates a resource that cannot start, returns what Pacemaker says about it, and deletes it again. */
async function failureOf(resource: string): Promise<FailedOperation> {
  const { lab } = hosts;
  await lab.node('n1').run(createCommand(resource));
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

test('a config file that does not exist', async () => {
  const { exit_reason } = await failureOf('missing');
  expect(exit_reason).toContain(configPath('missing'));
  expect(exit_reason).toMatch(/does not exist/);
});

test('a config file that is not JSON', async () => {
  await writeConfig(hosts.lab, 'garbled', '{ "uuid": ');
  expect((await failureOf('garbled')).exit_reason).toMatch(/not JSON/);
});

test('a misspelt key', async () => {
  await writeConfig(hosts.lab, 'misspelt', { ...vmConfig(hosts.lab), memroy_mib: 256 });
  expect((await failureOf('misspelt')).exit_reason).toMatch(/memroy_mib/);
});

test('a kernel that is not there', async () => {
  await writeConfig(hosts.lab, 'kernelless', { ...vmConfig(hosts.lab), kernel: '/nowhere/vmlinuz' });
  expect((await failureOf('kernelless')).exit_reason).toMatch(/\/nowhere\/vmlinuz/);
});

test('a sync port that something else has', async () => {
  await writeConfig(hosts.lab, 'portless', vmConfig(hosts.lab, { port: 7901 }));
  const listen =
    'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 7901, Listen => 1, ReuseAddr => 1) or die; sleep';
  for (const node of hosts.lab.nodes) await hosts.lab.node(node).start(['perl', '-e', listen]);
  const { exit_reason } = await failureOf('portless');
  expect(exit_reason).toMatch(/7901/);
  for (const node of hosts.lab.nodes) await hosts.lab.node(node).run(['bash', '-c', 'kill $(pidof perl)']);
});

test('a state folder on a full disk', async () => {
  await writeConfig(hosts.lab, 'diskless', vmConfig(hosts.lab));
  for (const node of hosts.lab.nodes) {
    const fill =
      'mkdir -p /var/lib/kemari/diskless && mount -t tmpfs -o size=4k,nr_inodes=8 tmpfs /var/lib/kemari/diskless && ' +
      '{ dd if=/dev/zero of=/var/lib/kemari/diskless/filler bs=4k count=8 2>/dev/null; true; }';
    await hosts.lab.node(node).run(['bash', '-c', fill]);
  }
  expect((await failureOf('diskless')).exit_reason).toMatch(/space|full|ENOSPC/i);
});
