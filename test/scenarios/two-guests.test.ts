// Two protected VMs in opposite directions on the same two hosts: each host runs one and keeps the other's replica.
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { domainXml, writeDomain } from '../lab/kemari/domain.js';
import { createCommand, moveCommand } from '../lab/kemari/resource.js';
import { guestAddress } from '../lab/networks.js';
import { Traffic } from '../lab/traffic/traffic.js';
import { waitFor } from '../lab/wait-for.js';
import { ProtectedGuest } from './protected-guest.js';
import { CLEAN } from './story.js';

let first: ProtectedGuest;
let second: ProtectedGuest;
let failed = false;
beforeAll(async () => {
  first = await ProtectedGuest.hosts();
  const { lab } = first;
  second = new ProtectedGuest(lab, 'vm2');
  await first.create();
  await writeDomain(lab, 'vm2', domainXml({ number: 2 }));
  await lab.node('n1').run(createCommand(lab, 'vm2', { sync_port: '7901' }));
  await second.protected();
});
afterAll(async () => {
  await first.lab.down({ keepLogs: failed });
  if (failed) console.error(`the hosts' logs are in ${first.lab.run}`);
});

/** The two guests, the first on `left` and the second on `right`, both protected. */
async function opposite(left: string, right: string): Promise<void> {
  for (const [guest, node] of [
    [first, left],
    [second, right],
  ] as const)
    if ((await guest.protected()) !== node) await first.lab.node(node).run(moveCommand(guest.resource, node));
  expect(await first.protected()).toBe(left);
  expect(await second.protected()).toBe(right);
}

test('each goes on when the host of the other dies with it, and both are protected again', async () => {
  onTestFailed(() => {
    failed = true;
  });
  const { lab } = first;
  await opposite('n1', 'n2');
  const traffics = [await Traffic.start(lab), await Traffic.start(lab, { address: guestAddress(2) })];
  const answered = (count: number) => Promise.all(traffics.map((traffic) => traffic.answered(count)));
  await answered(50);
  // One guest loses its host, the other its replica.
  await lab.power.crash('n1');
  await first.promotedOn('n2');
  await waitFor('power on n1', () => lab.power.isOn('n1'), { timeout_ms: 60_000 });
  expect(await first.protected()).toBe('n2');
  expect(await second.protected()).toBe('n2');
  await answered(50);
  // Home again, and the other way round.
  await opposite('n1', 'n2');
  await answered(50);
  await opposite('n2', 'n1');
  await answered(50);
  for (const traffic of traffics) expect(await traffic.stop()).toMatchObject(CLEAN);
});
