// What an operator types, on a cluster with a protected guest under traffic: the guest runs on through all of it, on the same
// connection, and ends where it was asked to. Each shell has a lab of its own.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { domainXml, writeDomain } from '../lab/kemari/domain.js';
import { Traffic } from '../lab/traffic/traffic.js';
import { waitFor } from '../lab/wait-for.js';
import { ClusterActions } from './cluster-actions.js';
import { ProtectedGuest, RESOURCE } from './protected-guest.js';
import { startTraffic } from './story.js';
import { SHELLS } from './shells.js';

const MOVE_TIMEOUT_MS = 120_000;

describe.each(SHELLS)('with $name', (shell) => {
  let guest: ProtectedGuest;
  beforeAll(async () => {
    guest = await ProtectedGuest.hosts();
    await writeDomain(guest.lab, RESOURCE, domainXml());
    await type(shell.create(guest.lab));
    await guest.protected();
  });
  afterAll(() => guest.lab.down());
  beforeEach(() => guest.protected());

  async function type(command: readonly string[], node = 'n1'): Promise<string> {
    return guest.lab.node(node).run(command, { timeout_ms: MOVE_TIMEOUT_MS });
  }

  test('a reloadable parameter reaches the running engine; nothing is restarted', async () => {
    const traffic = await startTraffic(guest);
    const primary = await guest.primary();
    const { engine_id, generation } = await guest.engine(primary);
    await type(shell.set('sync_mode', 'interval'));
    await waitFor(
      'interval on both',
      async () => {
        const engines = await Promise.all(guest.lab.nodes.map((node) => guest.engine(node)));
        return engines.every(({ tuning }) => tuning.sync_mode === 'interval');
      },
      { timeout_ms: 60_000 },
    );
    await traffic.answered(20);
    expect(await guest.protected()).toBe(primary);
    expect(await guest.engine(primary)).toMatchObject({ engine_id, generation });
    await type(shell.set('sync_mode', 'adaptive'));
    await waitFor('adaptive', async () => (await guest.engine(primary)).tuning.sync_mode === 'adaptive', {
      timeout_ms: 60_000,
    });
  });

  test('crm_mon shows at a glance how the guest is protected', async () => {
    await waitFor(
      'words in crm_mon',
      async () => {
        const text = await type(['crm_mon', '-1A']);
        const words = [...text.matchAll(new RegExp(`\\* kemari-${RESOURCE}\\s*: (.*)$`, 'gm'))].map(
          ([, word]) => word?.trim(),
        );
        if (words.includes('protected') && words.includes('in sync')) return true;
        throw new Error(text);
      },
      { timeout_ms: 60_000 },
    );
  });

  test('the cluster knows what the guest takes of a host', async () => {
    for (const [name, value] of [
      ['cpu', '1'],
      ['hv_memory', '256'],
    ] as const)
      expect(
        (
          await type(['crm_resource', '--resource', RESOURCE, '--utilization', '--get-parameter', name])
        ).trim(),
      ).toBe(value);
  });

  /** The guest is moved to `node`, and stays there when the cluster is to forget why. */
  async function arrives(node: string, traffic: Traffic): Promise<void> {
    await guest.promotedOn(node);
    await traffic.answered(20);
    for (const command of shell.clear()) await type(command);
    await guest.lab.settled(60_000);
    expect(await guest.protected()).toBe(node);
    await traffic.answered(20);
  }

  test('a move takes the guest where it is asked to, and it stays there when that is forgotten', async () => {
    const traffic = await startTraffic(guest);
    const other = guest.other(await guest.primary());
    await type(shell.move(other));
    await arrives(other, traffic);
  });

  test('a ban moves the guest, and clearing it leaves the guest where it is', async () => {
    const traffic = await startTraffic(guest);
    const primary = await guest.primary();
    const other = guest.other(primary);
    for (const command of shell.ban(primary)) await type(command);
    await arrives(other, traffic);
  });

  test('a node in standby gives its guest away, and takes a replica when it is back', async () => {
    const traffic = await startTraffic(guest);
    const primary = await guest.primary();
    const other = guest.other(primary);
    await type(shell.standby(primary));
    await guest.promotedOn(other);
    await traffic.answered(20);
    await type(shell.online(primary));
    expect(await guest.protected()).toBe(other);
    await traffic.answered(20);
  });

  test('in maintenance what dies is left as it is, and mended after it', async () => {
    const traffic = await startTraffic(guest);
    const primary = await guest.primary();
    const secondary = guest.other(primary);
    const { engine_id } = await guest.engine(primary);
    await type(shell.maintenance(true));
    await waitFor(
      'two unmanaged instances',
      async () => {
        const { instances } = await guest.lab.status(primary);
        return instances.filter(({ resource, managed }) => resource === RESOURCE && !managed).length === 2;
      },
      { timeout_ms: 60_000 },
    );
    const actions = await ClusterActions.since(guest.lab);
    await guest.killEngine(secondary);
    await guest.state(primary, ['frozen']);
    await waitFor(
      'the failure in crm_mon',
      async () =>
        (await guest.lab.status(primary)).instances.some(({ node, failed }) => node === secondary && failed),
      { timeout_ms: 60_000 },
    );
    await guest.lab.idle(primary, 60_000);
    expect(await actions.list()).toEqual([]);
    await type(shell.maintenance(false));
    expect(await guest.protected()).toBe(primary);
    expect((await guest.engine(primary)).engine_id).toBe(engine_id);
    expect(await actions.list()).toEqual([`stop ${secondary}`, `start ${secondary}`]);
    await traffic.answered(20);
  });

  test('cleanup, refresh and a monitor by hand find the guest as it is', async () => {
    const traffic = await startTraffic(guest);
    const primary = await guest.primary();
    const { engine_id } = await guest.engine(primary);
    for (const command of shell.forget()) {
      await type(command);
      await guest.lab.settled(60_000);
      await traffic.answered(20);
    }
    expect(await guest.lab.exec(primary, shell.monitor())).toMatchObject({ exit_code: 8 });
    expect(await guest.lab.exec(guest.other(primary), shell.monitor())).toMatchObject({ exit_code: 0 });
    expect(await guest.protected()).toBe(primary);
    expect((await guest.engine(primary)).engine_id).toBe(engine_id);
  });

  /** How often a guest was asked to power itself off, as the consoles of both hosts say. */
  async function powerButtons(): Promise<number> {
    const consoles = await Promise.all(
      guest.lab.nodes.map((node) => guest.lab.node(node).run(['cat', `/var/log/kemari/${RESOURCE}.console`])),
    );
    return consoles.join('').split('POWER BUTTON').length - 1;
  }

  /** Nothing of the VM runs, and one of the hosts knows that its guest has ended in order. */
  async function hasEnded(): Promise<void> {
    await guest.lab.settled(MOVE_TIMEOUT_MS);
    for (const node of guest.lab.nodes) {
      expect(await guest.lab.node(node).run(['bash', '-c', 'pidof kemari kemari-engine; true'])).toBe('');
      expect(await guest.lab.power.isOn(node)).toBe(true);
    }
    const states = await Promise.all(
      guest.lab.nodes.map((node) =>
        guest.lab.node(node).run(['cat', `/var/lib/kemari/${RESOURCE}/state.json`]),
      ),
    );
    expect(states.some((text) => (JSON.parse(text) as { sync: string }).sync === 'clean')).toBe(true);
    const logs = await guest.supervisorLogs();
    expect(logs).not.toContain('like by a power cut');
    expect(logs.split('"the guest has powered itself off"').length - 1).toBe(await powerButtons());
  }

  test('disabled, the guest is shut down and not cut off; enabled, it boots again', async () => {
    await Traffic.guestIsUp(guest.lab);
    const before = await powerButtons();
    await type(shell.disable());
    await hasEnded();
    expect(await powerButtons()).toBe(before + 1);
    await type(shell.enable());
    await guest.protected();
    await Traffic.guestIsUp(guest.lab);
  });

  test('deleted, the guest is shut down too, and nothing of it is left', async () => {
    await Traffic.guestIsUp(guest.lab);
    const before = await powerButtons();
    for (const command of shell.remove()) await type(command);
    await hasEnded();
    expect(await powerButtons()).toBe(before + 1);
    expect((await guest.lab.status('n1')).instances.some(({ resource }) => resource === RESOURCE)).toBe(
      false,
    );
  });
});
