// Two protected VMs in opposite directions on the same two hosts: each host runs one and keeps the other's replica.
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest';
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

beforeEach(() => {
  onTestFailed(() => {
    failed = true;
  });
});

test('each goes on when the host of the other dies with it, and both are protected again', async () => {
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

/** What the guests' consoles have shown, and what their supervisors have logged. */
async function told(guest: ProtectedGuest): Promise<{ buttons: number; log: string }> {
  const console = `/var/log/kemari/${guest.resource}.console`;
  const { lab } = guest;
  const consoles = await Promise.all(lab.nodes.map((name) => lab.node(name).run(['cat', console])));
  return { buttons: consoles.join('').split('POWER BUTTON').length - 1, log: await guest.supervisorLogs() };
}

test('a cluster that is shut down on both hosts at once lets both guests power themselves off', async () => {
  const { lab } = first;
  expect((await told(first)).buttons + (await told(second)).buttons).toBe(0);
  // What systemd does when the host, or an operator, stops the service.
  await Promise.all(
    lab.nodes.map((name) => lab.node(name).run(['bash', '-c', 'kill -TERM $(pidof pacemakerd)'])),
  );
  for (const name of lab.nodes)
    await waitFor(
      `the end of Pacemaker on ${name}`,
      async () => (await lab.exec(name, ['pidof', 'pacemakerd', 'kemari', 'kemari-engine'])).stdout === '',
      { timeout_ms: 180_000 },
    );
  for (const guest of [first, second]) {
    const { buttons, log } = await told(guest);
    expect(buttons).toBe(1);
    expect(log).toContain('"the guest has powered itself off"');
    expect(log).not.toContain('like by a power cut');
  }
});
