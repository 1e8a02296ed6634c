// A cluster of three, of which two have the VM (clone-max=2): the replica goes to whichever node is left, and a boot
// waits for the word of all. The stories share a lab and begin, each, with a protected guest.
import { beforeAll, expect, test } from 'vitest';
import { waitFor } from '../lab/wait-for.js';
import { ProtectedGuest, RESOURCE } from './protected-guest.js';
import { eachBeginsProtected, startTraffic } from './story.js';

const PATIENCE = { timeout_ms: 90_000 };

let guest: ProtectedGuest;
beforeAll(async () => {
  guest = await ProtectedGuest.hosts({ nodes: 3 });
  await guest.create();
});
eachBeginsProtected(() => guest);

/** Where the guest runs, where its replica is, and the node that has neither. */
async function places(): Promise<{ primary: string; secondary: string; third: string }> {
  const primary = await guest.primary();
  const secondary = await guest.secondary();
  const third = guest.lab.nodes.find((node) => node !== primary && node !== secondary);
  if (third === undefined) throw new Error('there is no third node');
  return { primary, secondary, third };
}

async function allOn(): Promise<void> {
  await waitFor(
    'all nodes in the cluster',
    async () => (await guest.lab.status(await guest.primary())).nodes.every(({ online }) => online),
    PATIENCE,
  );
}

const type = (node: string, command: readonly string[]) => guest.lab.node(node).run(command);

test('the replica moves to the third node when its own leaves, and the guest is where it was', async () => {
  const { primary, secondary, third } = await places();
  const traffic = await startTraffic(guest);
  await type(primary, ['pcs', 'node', 'standby', secondary]);
  await waitFor('a replica on the third node', async () => (await guest.secondary()) === third, PATIENCE);
  expect(await guest.protected()).toBe(primary);
  await traffic.answered(50);
  await type(primary, ['pcs', 'node', 'unstandby', secondary]);
  await allOn();
  expect(await guest.protected()).toBe(primary);
});

test('the host of the guest dies: it goes on at its replica, and takes a new one at the third node', async () => {
  const { primary, secondary, third } = await places();
  const traffic = await startTraffic(guest);
  await traffic.answered(50);
  await guest.lab.power.off(primary);
  await guest.promotedOn(secondary);
  await traffic.answered(50);
  await waitFor('a replica on the third node', async () => (await guest.secondary()) === third, PATIENCE);
  expect(await guest.protected()).toBe(secondary);
  await traffic.answered(50);
  if (!(await guest.lab.power.isOn(primary))) await guest.lab.power.on(primary);
  await allOn();
});

test('a guest whose outputs wait for one node looks for no replica elsewhere', async () => {
  const { primary, secondary, third } = await places();
  const traffic = await startTraffic(guest);
  await traffic.answered(50);
  await guest.lab.power.cut(secondary, 'sync');
  await guest.state(primary, ['frozen']);
  // Somebody listens where it must not call: nobody may.
  const { generation } = await guest.engine(primary);
  const listen = 'timeout 3 busybox nc -l -p 7900 </dev/null | wc -c; echo "${PIPESTATUS[0]}"';
  // Nothing came, and it was the time that ended it.
  expect((await type(third, ['bash', '-c', listen])).split(/\s+/).slice(0, 2)).toEqual(['0', '124']);
  expect(await guest.engine(primary)).toMatchObject({ state: 'frozen', generation });
  await guest.lab.power.uncut(secondary, 'sync');
  await traffic.answered(50);
  expect(await guest.protected()).toBe(primary);
});

test('the host of the replica dies: the guest waits for it, and the replica comes back to it', async () => {
  const { primary, secondary } = await places();
  const traffic = await startTraffic(guest);
  await traffic.answered(50);
  const { generation } = await guest.engine(primary);
  await guest.lab.power.crash(secondary);
  await guest.state(primary, ['frozen']);
  await waitFor(`power on ${secondary}`, () => guest.lab.power.isOn(secondary), PATIENCE);
  expect(await guest.protected()).toBe(primary);
  await traffic.answered(50);
  expect(await guest.engine(primary)).toMatchObject({ generation });
  await allOn();
});

const CLONE = `${RESOURCE}-clone`;

async function disable(node: string): Promise<void> {
  await type(node, ['pcs', 'resource', 'disable', CLONE]);
  await waitFor(
    `${RESOURCE} to be stopped`,
    async () => {
      const { instances } = await guest.lab.status(node);
      return !instances.some(({ resource, role }) => resource === RESOURCE && role !== 'Stopped');
    },
    PATIENCE,
  );
}

test('stopped everywhere and started again, the guest boots where its newest state is', async () => {
  const { primary } = await places();
  await disable(primary);
  await type(primary, ['pcs', 'resource', 'enable', CLONE]);
  await guest.protected();
  await startTraffic(guest);
});

test('without the word of one node nothing boots; with it the guest does', async () => {
  const { primary, secondary, third } = await places();
  await disable(primary);
  // The guest was shut down where its replica was.
  const others = [primary, third];
  for (const node of others)
    await type(primary, ['attrd_updater', '-n', `kemari-${RESOURCE}-disk`, '-N', node, '-D']);
  await type(primary, ['pcs', 'resource', 'enable', CLONE]);
  await waitFor(
    'an engine that waits',
    async () => (await guest.engine(secondary)).state === 'empty',
    PATIENCE,
  );
  await guest.lab.settled(60_000);
  await expect(guest.primary()).rejects.toThrow('not promoted');
  // As an operator does who reads that a node is away.
  for (const node of others)
    await type(primary, ['crm_resource', '--refresh', '--resource', RESOURCE, '--node', node]);
  await guest.protected();
});
