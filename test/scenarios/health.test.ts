// A guest that is sick is ended and booted anew, and its copy, which is as sick, is not promoted; one that is only cut off is
// well, and at most paused.
import { beforeAll, expect, test } from 'vitest';
import { domainPath } from '../lab/kemari/domain.js';
import { AGENT } from '../lab/kemari/install.js';
import { nodeAddress, nodeNumber } from '../lab/networks.js';
import { Traffic } from '../lab/traffic/traffic.js';
import { waitFor } from '../lab/wait-for.js';
import { ProtectedGuest, RESOURCE } from './protected-guest.js';
import { eachBeginsProtected } from './story.js';

const SCRIPT = '/etc/kemari/is-well';
/** While it is there, whoever asks the guest finds it sick. */
const MARK = '/run/sick';
/** Whoever asks the guest leaves it. */
const ASKED = '/run/asked';

let guest: ProtectedGuest;
beforeAll(async () => {
  guest = await ProtectedGuest.hosts();
  const script = `#!/bin/sh\n[ -n "$OCF_RESKEY_config" ] || exit 4\ntouch ${ASKED}\n! test -e ${MARK} || { echo no answer; exit 1; }\n`;
  const names = guest.lab.nodes
    .map((name) => `${nodeAddress('sync', nodeNumber(name))} ${name}-checkpoints\n`)
    .join('');
  for (const name of guest.lab.nodes) {
    const node = guest.lab.node(name);
    await node.run(['install', '-D', '-m', '755', '/dev/null', SCRIPT]);
    await node.run(['tee', SCRIPT], { input: script });
    await node.run(['tee', '-a', '/etc/hosts'], { input: names });
  }
  await guest.create(
    {},
    { monitor_scripts: SCRIPT, sync_address: '', migration_network_suffix: '-checkpoints' },
  );
  const deeper = ['monitor', 'interval=7s', 'timeout=20s', 'role=Promoted', 'OCF_CHECK_LEVEL=20'];
  await guest.lab.node('n1').run(['pcs', 'resource', 'op', 'add', RESOURCE, ...deeper]);
});
eachBeginsProtected(() => guest);

test('a guest that is cut off for long is paused, shown as degraded, and goes on when the cable is back', async () => {
  const { lab } = guest;
  await lab.node('n1').run(['pcs', 'resource', 'update', RESOURCE, 'freeze_timeout=2s']);
  const primary = await guest.protected();
  const { engine_id } = await guest.engine(primary);
  await waitFor('the reload', async () => (await guest.engine(primary)).tuning.freeze_timeout_ms === 2000, {
    timeout_ms: 30_000,
  });
  const traffic = await Traffic.start(lab);
  await traffic.answered(50);
  await lab.power.cut(guest.other(primary), 'sync');
  await waitFor(
    'a paused guest in crm_mon',
    async () => {
      const text = await lab.node(primary).run(['crm_mon', '-1A']);
      const failure = (await lab.status(primary)).failures.find(({ exit_code }) => exit_code === 191);
      return (
        /frozen since [^,]*Z, paused/.test(text) &&
        failure?.exit_reason.includes('the guest is paused') === true
      );
    },
    { timeout_ms: 60_000 },
  );
  expect((await guest.engine(primary)).guest).toBe('paused');
  // The scripts ask nobody now: they would find it sick. As the cluster's own monitor of that level, which may note it.
  await lab.node(primary).run(['touch', MARK]);
  await lab.node(primary).run(['rm', '--force', ASKED]);
  const level20 = [
    'OCF_ROOT=/usr/lib/ocf',
    `OCF_RESOURCE_INSTANCE=${RESOURCE}`,
    `OCF_RESKEY_config=${domainPath(RESOURCE)}`,
    `OCF_RESKEY_monitor_scripts=${SCRIPT}`,
    'OCF_RESKEY_CRM_meta_interval=7000',
    'OCF_RESKEY_CRM_meta_timeout=20000',
    'OCF_CHECK_LEVEL=20',
  ];
  const monitored = await lab.exec(primary, ['env', ...level20, AGENT, 'monitor']);
  expect(monitored).toMatchObject({ exit_code: 191 });
  expect(monitored.stderr).toContain('the guest is paused');
  expect(await lab.exec(primary, ['test', '-e', ASKED])).toMatchObject({ exit_code: 1 });
  expect(await guest.supervisorLogs()).not.toContain('the guest is sick');
  await lab.node(primary).run(['rm', MARK]);
  expect(await guest.primary()).toBe(primary);
  await lab.power.uncut(guest.other(primary), 'sync');
  await traffic.answered(50);
  expect(await guest.protected()).toBe(primary);
  await waitFor(
    'scripts that ask again',
    async () => (await lab.exec(primary, ['test', '-e', ASKED])).exit_code === 0,
    {
      timeout_ms: 60_000,
    },
  );
  expect((await guest.engine(primary)).engine_id).toBe(engine_id);
  expect(await traffic.stop()).toMatchObject({
    answers_lost: 0,
    answers_repeated: 0,
    garbage: [],
    broken: undefined,
  });
});

test('a sick guest is shut down and booted anew; its copy is not promoted', async () => {
  await Traffic.guestIsUp(guest.lab);
  const before = await guest.hotPromotions();
  const primary = await guest.primary();
  const { generation } = await guest.engine(primary);
  const everywhere = (...command: readonly string[]) =>
    Promise.all(guest.lab.nodes.map((node) => guest.lab.node(node).run(command)));
  await everywhere('touch', MARK);
  const failure = await waitFor(
    'the finding in crm_mon',
    async () => (await guest.lab.status(primary)).failures.find(({ exit_code }) => exit_code === 9),
    { timeout_ms: 60_000 },
  );
  expect(failure.exit_reason).toBe(`monitor script ${SCRIPT} failed (exit 1): no answer`);
  await waitFor(
    'another life of the guest',
    async () => {
      const engines = await Promise.all(guest.lab.nodes.map((node) => guest.engine(node)));
      return engines.some((engine) => engine.role === 'primary' && engine.generation > generation);
    },
    { timeout_ms: 120_000 },
  );
  await everywhere('rm', MARK);
  await guest.protected();
  await Traffic.guestIsUp(guest.lab);
  expect(await guest.hotPromotions()).toBe(before);
  for (const node of guest.lab.nodes) expect(await guest.lab.power.isOn(node)).toBe(true);
  const consoles = await everywhere('cat', `/var/log/kemari/${RESOURCE}.console`);
  expect(consoles.join('')).toContain('POWER BUTTON');
  await guest.lab.node('n1').run(['pcs', 'resource', 'cleanup', RESOURCE]);
});
