// What dies under the guest reaches the cluster at once: the monitors of this lab come every ten minutes, so that no
// story can end because of one. The replica is promoted before anything is started where the guest was, and what dies of the
// replica is started again where it was.
import { beforeAll, expect, test } from 'vitest';
import { domainXml, writeDomain } from '../lab/kemari/domain.js';
import { createCommand, moveCommand } from '../lab/kemari/resource.js';
import { waitFor } from '../lab/wait-for.js';
import { ClusterActions } from './cluster-actions.js';
import { ProtectedGuest, RESOURCE } from './protected-guest.js';
import { eachBeginsProtected, startTraffic } from './story.js';

const NEVER_S = [600, 601] as const;

let guest: ProtectedGuest;
beforeAll(async () => {
  guest = await ProtectedGuest.hosts();
  const { lab } = guest;
  await writeDomain(lab, RESOURCE, domainXml());
  await lab.node('n1').run(createCommand(lab, RESOURCE, {}, NEVER_S));
});
eachBeginsProtected(() => guest);

type Kill = (node: string) => Promise<void>;
const DEATHS: readonly [string, Kill][] = [
  ['QEMU', (node) => guest.killQemu(node)],
  ['the engine', (node) => guest.killEngine(node)],
  [
    'the supervisor, and then QEMU',
    async (node) => {
      const { qemu_pid } = await guest.engine(node);
      await killSupervisor(node);
      await guest.lab.node(node).run(['kill', '-KILL', String(qemu_pid)]);
    },
  ],
];
/** Its engine ends it, and itself. */
const HANG: [string, Kill] = [
  'QEMU, which hangs,',
  async (node) => {
    await guest.lab.node(node).run(['kill', '-STOP', String((await guest.engine(node)).qemu_pid)]);
  },
];

test.each([...DEATHS, HANG])(
  '%s dies: the replica is promoted at once, and nothing is started before it',
  async (_, kill) => {
    const primary = await guest.primary();
    const secondary = guest.other(primary);
    const { generation } = await guest.engine(secondary);
    const traffic = await startTraffic(guest);
    const actions = await ClusterActions.since(guest.lab);
    const killed_ms = Date.now();
    await kill(primary);
    await guest.promotedOn(secondary);
    await traffic.answered(50);
    const first = traffic.answers.firstAfter(killed_ms);
    console.log(
      `from the kill to the first answer to a request of after it: ${Date.now() - killed_ms} ms at most, ${JSON.stringify(first)}`,
    );
    expect(await guest.protected()).toBe(secondary);
    // One generation more: nobody has booted it in between.
    expect((await guest.engine(secondary)).generation).toBe(generation + 1);
    expect(await actions.beforePromotionOf(secondary)).toEqual([`demote ${primary}`]);
  },
);

test.each(DEATHS)('%s dies under the replica: a new one is made at once, where it was', async (_, kill) => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const { engine_id } = await guest.engine(primary);
  const replica = await guest.engine(secondary);
  const traffic = await startTraffic(guest);
  const actions = await ClusterActions.since(guest.lab);
  await kill(secondary);
  await waitFor(
    'another engine',
    async () => (await guest.engine(secondary)).engine_id !== replica.engine_id,
    {
      timeout_ms: 60_000,
    },
  );
  await traffic.answered(50);
  expect(await guest.protected()).toBe(primary);
  expect((await guest.engine(primary)).engine_id).toBe(engine_id);
  await guest.lab.settled(60_000);
  expect(await actions.list()).toEqual([`stop ${secondary}`, `start ${secondary}`]);
});

test('an engine that hangs under a supervisor that was brought back is ended by a demote', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const traffic = await startTraffic(guest);
  await killSupervisor(primary);
  await waitFor('a supervisor that answers', () => guest.engine(primary), { timeout_ms: 60_000 });
  await guest.lab.node(primary).run(['bash', '-c', 'kill -STOP $(pidof kemari-engine)']);
  await guest.lab.node(primary).run(moveCommand(RESOURCE, secondary));
  await guest.promotedOn(secondary);
  await traffic.answered(50);
  const { failures } = await guest.lab.status(secondary);
  expect(failures.filter(({ operation }) => operation.includes('demote'))).toEqual([]);
  expect(await guest.protected()).toBe(secondary);
});

async function killSupervisor(node: string): Promise<void> {
  const kill = `kill -KILL $(pgrep -f '^/[^ ]*kemari supervise')`;
  await guest.lab.node(node).run(['bash', '-c', kill]);
}

test('the supervisor dies: another one is there before any monitor, and the guest has not noticed', async () => {
  const primary = await guest.primary();
  const { engine_id, generation } = await guest.engine(primary);
  const traffic = await startTraffic(guest);
  const actions = await ClusterActions.since(guest.lab);
  for (const node of guest.lab.nodes) await killSupervisor(node);
  await waitFor('supervisors that answer', () => guest.protected(), { timeout_ms: 60_000 });
  await traffic.answered(50);
  expect(await guest.engine(primary)).toMatchObject({ engine_id, generation });
  expect(await actions.list()).toEqual([]);
});
