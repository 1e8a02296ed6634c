// What Pacemaker's scheduler makes of our scores and failures: crm_simulate on the CIB of a protected guest, and on
// copies of it in which something has happened. The guest is created as proposed; what on-fail=demote is for shows without it.
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

const SAVED = '/tmp/saved.xml';
const AFTERWARDS = '/tmp/afterwards.xml';

/** The actions that the scheduler orders, as crm_simulate prints them: without those of no effect. */
async function simulate(xml: string, ...injected: readonly string[]): Promise<string[]> {
  const node = guest.lab.node(primary);
  await node.run(['tee', SAVED], { input: xml });
  const files = ['--xml-file', SAVED, `--save-output=${AFTERWARDS}`];
  const output = await node.run(['crm_simulate', '--simulate', ...files, ...injected]);
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

/** The CIB after the actions of the last simulation. */
function afterwards(): Promise<string> {
  return guest.lab.node(primary).run(['cat', AFTERWARDS]);
}

/** With what Pacemaker does by itself when an operation fails. */
function withoutOnFail(xml: string): string {
  const less = xml.replaceAll(' on-fail="demote"', '');
  expect(less).not.toBe(xml);
  return less;
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
  const actions = await simulate(withoutOnFail(cib), ...failure());
  expect(actions.slice(0, 3)).toEqual([`demote ${primary}`, `stop ${primary}`, `start ${primary}`]);
  expect(actions.at(-1)).toBe(`promote ${primary}`);
});

test('with the score gone a failed monitor leads to the replica, after another start of what failed', async () => {
  const actions = await simulate(withoutOnFail(withoutScore(primary)), ...failure());
  expect(actions[0]).toBe(`demote ${primary}`);
  expect(actions.indexOf(`promote ${secondary}`)).toBeGreaterThan(actions.indexOf(`start ${primary}`));
  expect(actions).not.toContain(`promote ${primary}`);
});

test('on-fail=demote starts nothing before the replica is promoted, if the demote takes the score away', async () => {
  // The same transition would promote what hangs again: that the score goes ends it.
  expect(await simulate(cib, ...failure())).toEqual([`demote ${primary}`, `promote ${primary}`]);
  expect(await simulate(withoutScore(primary), ...failure())).toEqual([
    `demote ${primary}`,
    `promote ${secondary}`,
  ]);
});

test('a promote that fails costs the last copy, unless its failure is to demote', async () => {
  const lost = ['--node-fail', primary, '--op-fail', `${RESOURCE}_promote_0@${secondary}=1`];
  await simulate(withoutOnFail(cib), ...lost);
  expect((await simulate(await afterwards())).slice(0, 3)).toEqual([
    `demote ${secondary}`,
    `stop ${secondary}`,
    `start ${secondary}`,
  ]);
  await simulate(cib, ...lost);
  expect(await simulate(await afterwards())).toEqual([`demote ${secondary}`]);
  // When something changes, as the score does.
  expect(await simulate(await afterwards())).toEqual([`promote ${secondary}`]);
});

/** What crm_resource --fail records. */
const reported = (node: string) => ['--op-inject', `${RESOURCE}_asyncmon_0@${node}=1`];

test('a replica that is reported as lost is started again, and the guest is left alone', async () => {
  const actions = await simulate(withoutScore(secondary), ...reported(secondary));
  expect(actions).toEqual([`stop ${secondary}`, `start ${secondary}`]);
});

test('a primary that was reported would be started before the replica is promoted: it never is', async () => {
  const actions = await simulate(withoutScore(primary), ...reported(primary));
  expect(actions).toEqual([
    `demote ${primary}`,
    `stop ${primary}`,
    `start ${primary}`,
    `promote ${secondary}`,
  ]);
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
