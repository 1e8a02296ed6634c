// What dies under the guest reaches the cluster at once: the monitors of this lab come every ten minutes, so that no
// story can end because of one. The replica is promoted before anything is started where the guest was.
import { beforeAll, expect, test } from 'vitest';
import { domainXml, writeDomain } from '../lab/kemari/domain.js';
import { createCommand, moveCommand } from '../lab/kemari/resource.js';
import { waitFor } from '../lab/wait-for.js';
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

/** What the cluster has done with the resource since a line of the log of whoever decides, in order. */
async function actionsSince(mark: ReadonlyMap<string, number>): Promise<string[]> {
  const actions: { at: string; action: string }[] = [];
  for (const node of guest.lab.nodes) {
    const text = await guest.lab.node(node).run(['cat', '/var/log/pacemaker/pacemaker.log']);
    for (const line of text.split('\n').slice(mark.get(node))) {
      const [, at, action, on] =
        /^\w+ \d+ (\S+) .*Initiating (\w+) operation vm1(?::\d+)?_\w+ (?:locally )?on (\w+)/.exec(line) ?? [];
      if (at !== undefined && action !== undefined && action !== 'notify')
        actions.push({ at, action: `${action} ${on ?? ''}` });
    }
  }
  return actions.sort((one, other) => one.at.localeCompare(other.at)).map(({ action }) => action);
}

async function logEnds(): Promise<Map<string, number>> {
  const ends = new Map<string, number>();
  for (const node of guest.lab.nodes) {
    const count = await guest.lab.node(node).run(['wc', '-l', '/var/log/pacemaker/pacemaker.log']);
    ends.set(node, Number.parseInt(count, 10));
  }
  return ends;
}

test.each([
  ['QEMU', (node: string) => guest.killQemu(node)],
  ['the engine', (node: string) => guest.killEngine(node)],
  [
    'the supervisor, and then QEMU',
    async (node: string) => {
      const { qemu_pid } = await guest.engine(node);
      await killSupervisor(node);
      await guest.lab.node(node).run(['kill', '-KILL', String(qemu_pid)]);
    },
  ],
])('%s dies: the replica is promoted at once, and nothing is started before it', async (_, kill) => {
  const primary = await guest.primary();
  const secondary = guest.other(primary);
  const { generation } = await guest.engine(secondary);
  const traffic = await startTraffic(guest);
  const mark = await logEnds();
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
  const actions = await actionsSince(mark);
  expect(actions).toContain(`promote ${secondary}`);
  const before = actions.slice(0, actions.indexOf(`promote ${secondary}`));
  expect(before.filter((action) => /^(start|promote)/.test(action))).toEqual([]);
  expect(before).toContain(`demote ${primary}`);
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
  const mark = await logEnds();
  for (const node of guest.lab.nodes) await killSupervisor(node);
  await waitFor('supervisors that answer', () => guest.protected(), { timeout_ms: 60_000 });
  await traffic.answered(50);
  expect(await guest.engine(primary)).toMatchObject({ engine_id, generation });
  expect(await actionsSince(mark)).toEqual([]);
});
