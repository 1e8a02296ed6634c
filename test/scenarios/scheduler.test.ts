// What Pacemaker's scheduler makes of our scores and failures: crm_simulate on the CIB of a protected guest, and on
// copies of it in which something has happened.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProtectedGuest, RESOURCE } from './protected-guest.js';

let guest: ProtectedGuest;
let primary: string;
let secondary: string;
let cib: string;
beforeAll(async () => {
  guest = await ProtectedGuest.hosts();
  await guest.create();
  await guest.lab.settled(60_000);
  primary = await guest.protected();
  secondary = guest.other(primary);
  cib = await guest.lab.node(primary).run(['cibadmin', '--query']);
});
afterAll(() => guest.lab.down());

/** The actions that the scheduler orders, as crm_simulate prints them: without those of no effect. */
async function simulate(xml: string, ...injected: readonly string[]): Promise<string[]> {
  const node = guest.lab.node(primary);
  const file = '/tmp/saved.xml';
  await node.run(['tee', file], { input: xml });
  const output = await node.run(['crm_simulate', '--simulate', '--xml-file', file, ...injected]);
  const actions = [
    ...output.matchAll(/^ *\* (?:Resource action: (\S+) +(\S+) on (\S+)|(Fencing) (\S+) .*)$/gm),
  ];
  return actions
    .map(([, resource, action, on, fencing, whom]) =>
      fencing === undefined
        ? `${resource === RESOURCE ? '' : `${resource ?? ''} `}${action ?? ''} ${on ?? ''}`
        : `fence ${whom ?? ''}`,
    )
    .filter((action) => !/^(monitor|cancel|fence-)/.test(action));
}

/** The CIB without the promotion score of a node. */
function withoutScore(node: string): string {
  const id = new RegExp(`<node_state [^>]*uname="${node}"[\\s\\S]*?</node_state>`).exec(cib)?.[0] ?? '';
  const less = id.replace(new RegExp(`<nvpair [^>]*name="master-${RESOURCE}"[^>]*/>`), '');
  expect(less).not.toBe(id);
  return cib.replace(id, less);
}

const failure = () => ['--op-inject', `${RESOURCE}_monitor_5000@${primary}=9`];

test('a protected guest is left alone', async () => {
  expect(await simulate(cib)).toEqual([]);
});

test('without the score of the primary its guest is demoted and the replica promoted; nothing is started before', async () => {
  expect(await simulate(withoutScore(primary))).toEqual([`demote ${primary}`, `promote ${secondary}`]);
});

test('a failed monitor alone would start what failed before anything is promoted, and promote it there', async () => {
  const actions = await simulate(cib, ...failure());
  expect(actions.slice(0, 3)).toEqual([`demote ${primary}`, `stop ${primary}`, `start ${primary}`]);
  expect(actions.at(-1)).toBe(`promote ${primary}`);
});

test('with the score gone a failed monitor leads to the replica', async () => {
  const actions = await simulate(withoutScore(primary), ...failure());
  expect(actions[0]).toBe(`demote ${primary}`);
  expect(actions).toContain(`promote ${secondary}`);
  expect(actions).not.toContain(`promote ${primary}`);
});

test('on-fail=demote starts nothing before the replica is promoted, once the score is gone', async () => {
  const op = new RegExp(`(<op [^>]*interval="5s"[^>]*)(/>)`);
  const xml = withoutScore(primary).replace(op, '$1 on-fail="demote"$2');
  expect(xml).toContain('on-fail="demote"');
  expect(await simulate(xml, ...failure())).toEqual([`demote ${primary}`, `promote ${secondary}`]);
});

test('a lost node is fenced before its guest is promoted elsewhere', async () => {
  const actions = await simulate(cib, '--node-fail', primary);
  expect(actions).toContain(`fence ${primary}`);
  expect(actions.indexOf(`promote ${secondary}`)).toBeGreaterThan(actions.indexOf(`fence ${primary}`));
});

test('a replica that is not complete has no score, and a lost node is not replaced by it', async () => {
  const actions = await simulate(withoutScore(secondary), '--node-fail', primary);
  expect(actions).toContain(`fence ${primary}`);
  expect(actions).not.toContain(`promote ${secondary}`);
});
