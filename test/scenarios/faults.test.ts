// One part after another dies under a protected guest. Whatever it is: nothing that the client saw is taken back, and
// nothing that it was owed is lost. The stories share a lab and begin, each, with a protected guest.
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { GUEST_ADDRESS } from '../lab/networks.js';
import { COUNTER_PORT } from '../lab/traffic/traffic.js';
import { waitFor } from '../lab/wait-for.js';
import { ClusterActions } from './cluster-actions.js';
import { ProtectedGuest, RESOURCE } from './protected-guest.js';
import { CLEAN, eachBeginsProtected, startTraffic } from './story.js';

let guest: ProtectedGuest;
beforeAll(async () => {
  guest = await ProtectedGuest.hosts();
  await guest.create();
});
eachBeginsProtected(() => guest);

test('without KVM the guest runs under TCG, and the status says why', async () => {
  const { accel, accel_reason } = await guest.engine(await guest.primary());
  if (accel === 'kvm') expect(accel_reason).toBeNull();
  else expect(accel_reason).toMatch(/KVM/);
});

test('a pulled sync cable freezes what leaves the guest, and it goes on when the cable is back', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const traffic = await startTraffic(guest);
  await traffic.answered(100);
  await guest.lab.power.cut(secondary, 'sync');
  await guest.state(primary, ['frozen']);
  const answered = traffic.answers.list.length;
  await sleep(2000);
  expect(traffic.answers.list).toHaveLength(answered);
  // A frozen guest is a healthy one: a failed monitor would throw away the only valid memory.
  expect(await guest.primary()).toBe(primary);
  await guest.lab.power.uncut(secondary, 'sync');
  await traffic.answered(100);
  await guest.protected();
  expect(await traffic.stop()).toMatchObject(CLEAN);
});

test('the secondary engine is killed: outputs wait, then go on, and a new replica is made', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const { engine_id } = await guest.engine(secondary);
  const traffic = await startTraffic(guest);
  await traffic.answered(100);
  await guest.killEngine(secondary);
  await guest.state(primary, ['frozen']);
  await traffic.answered(100);
  expect(await guest.protected()).toBe(primary);
  expect((await guest.engine(secondary)).engine_id).not.toBe(engine_id);
  await traffic.answered(100);
  expect(await traffic.stop()).toMatchObject(CLEAN);
});

test('the QEMU of the primary is killed: the replica goes on without fencing', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const traffic = await startTraffic(guest);
  await traffic.answered(100);
  await guest.killQemu(primary);
  await guest.promotedOn(secondary);
  await traffic.answered(100);
  expect(await guest.protected()).toBe(secondary);
  expect(await guest.lab.power.isOn(primary)).toBe(true);
  expect(await traffic.stop()).toMatchObject(CLEAN);
});

/** Has the guest leave: `reboot` or `poweroff`. */
async function leave(how: 'reboot' | 'poweroff'): Promise<void> {
  const tell = `exec 3<>/dev/tcp/${GUEST_ADDRESS}/${COUNTER_PORT}; echo ${how} >&3; sleep 1`;
  expect((await guest.lab.client.exec(['bash', '-c', tell])).exit_code).toBe(0);
}

/** The first answer of a guest that boots: a new life counts from 1. */
async function firstAnswer(): Promise<string> {
  return waitFor(
    'the guest that boots',
    async () => {
      const ask = `exec 3<>/dev/tcp/${GUEST_ADDRESS}/${COUNTER_PORT}; echo 1 >&3; read -r -t 3 line <&3; echo "$line"`;
      const { stdout } = await guest.lab.client.exec(['bash', '-c', ask], { timeout_ms: 5000 });
      return stdout === '' ? undefined : stdout;
    },
    { timeout_ms: 120_000 },
  );
}

test('a promoted guest can reboot under the same engine, and is protected after it', async () => {
  const primary = await guest.primary();
  const { engine_id, generation } = await guest.engine(primary);
  await leave('reboot');
  expect(await firstAnswer()).toMatch(/^1 [1-9]$/);
  expect(await guest.protected()).toBe(primary);
  expect(await guest.engine(primary)).toMatchObject({ engine_id, generation });
});

test('a guest that powers itself off is booted by Pacemaker; its replica is not woken up', async () => {
  const { generation } = await guest.engine(await guest.primary());
  const before = await guest.hotPromotions();
  await leave('poweroff');
  expect(await firstAnswer()).toMatch(/^1 [1-9]$/);
  const primary = await guest.protected();
  expect((await guest.engine(primary)).generation).toBeGreaterThan(generation);
  expect(await guest.hotPromotions()).toBe(before);
});

test('the engine of the primary hangs: its monitor finds it, and nothing is started before the replica is promoted', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const { generation } = await guest.engine(primary);
  const traffic = await startTraffic(guest);
  const actions = await ClusterActions.since(guest.lab);
  await guest.lab.node(primary).run(['bash', '-c', 'kill -STOP $(pidof kemari-engine)']);
  await guest.promotedOn(secondary, 120_000);
  await traffic.answered(100);
  expect(await guest.protected()).toBe(secondary);
  expect((await guest.engine(secondary)).generation).toBe(generation + 1);
  expect(await actions.beforePromotionOf(secondary)).toEqual([`demote ${primary}`]);
});

test('the engine of the primary is killed: its QEMU dies with it, the replica goes on', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const traffic = await startTraffic(guest);
  await traffic.answered(100);
  const { qemu_pid } = await guest.engine(primary);
  await guest.killEngine(primary);
  await guest.promotedOn(secondary);
  expect((await guest.lab.exec(primary, ['kill', '-0', String(qemu_pid)])).exit_code).not.toBe(0);
  await traffic.answered(100);
  expect(await guest.protected()).toBe(secondary);
  expect(await traffic.stop()).toMatchObject(CLEAN);
});

test('the host of the secondary loses its power: outputs wait until a new replica may be made', async () => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const traffic = await startTraffic(guest);
  await traffic.answered(100);
  await guest.lab.power.crash(secondary);
  await guest.state(primary, ['frozen', 'solo']);
  await waitFor(`power on ${secondary}`, () => guest.lab.power.isOn(secondary), { timeout_ms: 30_000 });
  expect(await guest.protected()).toBe(primary);
  await traffic.answered(100);
  expect(await traffic.stop()).toMatchObject(CLEAN);
});

test('a replica that is not complete is not promoted, and Pacemaker shows why', async () => {
  const { lab } = guest;
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  await lab.power.cut(secondary, 'sync');
  await guest.killEngine(secondary);
  await waitFor(
    'a secondary without a replica',
    async () => ['empty', 'receiving'].includes((await guest.engine(secondary)).state),
    { timeout_ms: 60_000 },
  );
  await lab.power.off(primary);
  await lab.node(secondary).run(['crm_node', '-l']);
  // No score of the agent's own would ever let Pacemaker try.
  const score = ['crm_attribute', '--promotion', RESOURCE, '--lifetime', 'reboot', '--node', secondary];
  await waitFor(
    `${primary} out of the cluster`,
    async () => {
      const status = await lab.status(secondary);
      return status.nodes.some((node) => node.name === primary && !node.online && !node.unclean);
    },
    { timeout_ms: 30_000 },
  );
  // Pacemaker 2.1.5 stands still over the cancellation of a monitor that another controller began, if nothing else is due.
  await lab.node(secondary).run(['crm_resource', '--refresh', '--resource', RESOURCE, '--node', secondary]);
  await lab.idle(secondary, 30_000);
  await lab.node(secondary).run([...score, '--update', '20000']);
  const failure = await waitFor(
    'the refusal in crm_mon',
    async () => (await lab.status(secondary)).failures.find((one) => one.operation.includes('promote')),
    { timeout_ms: 30_000 },
  );
  expect(failure.exit_code).not.toBe(0);
  expect(failure.exit_reason).toMatch(/replica|runs the guest|newer guest/);
  await lab.power.uncut(secondary, 'sync');
  // Fencing brings the owner of the newest state back, and only there the guest may start again.
  await guest.promotedOn(primary, 90_000);
});
