import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { identify } from '../../src/common/process-identity.js';
import { eventually } from '../fixtures/eventually.js';
import { Host, type ActionResult } from '../fixtures/host.js';

const inSync = { role: 'secondary', state: 'in-sync', generation: 2 };
const protectedPrimary = { role: 'primary', state: 'protected', generation: 2 };
const frozen = { role: 'primary', state: 'frozen', generation: 2 };
const recurring = { OCF_RESKEY_CRM_meta_interval: '31000' };
const level10 = { ...recurring, OCF_CHECK_LEVEL: '10' };
const level20 = { ...recurring, OCF_CHECK_LEVEL: '20' };
const WELL = 'echo run >> "$(dirname "$0")/ran"; exit 0';
const SICK = 'echo run >> "$(dirname "$0")/ran"; echo no answer from the web server >&2; exit 3';

/** Writes a script. @returns its path. */
async function script(host: Host, name: string, body: string): Promise<string> {
  const path = join(host.folder, name);
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

async function runs(host: Host): Promise<number> {
  const text = await readFile(join(host.folder, 'ran'), 'utf8').catch(() => '');
  return text.split('\n').length - 1;
}

async function started(status: Readonly<Record<string, unknown>>, more = {}): Promise<Host> {
  const host = await Host.create({ status, ...more });
  await host.run('start');
  return host;
}

const orders = async (host: Host): Promise<string[]> =>
  (await host.journal())
    .filter((line) => line.startsWith('{'))
    .map((line) => (JSON.parse(line) as { command: string }).command)
    .filter((command) => command !== 'check-guest');

/** A guest counts as sick only when its outputs have gone for a while. */
async function monitorUntil(
  host: Host,
  env: Readonly<Record<string, string>>,
  code: number,
): Promise<ActionResult> {
  let last = await host.run('monitor', env);
  await eventually(`monitor says ${code}`, async () => {
    if (last.code !== code) last = await host.run('monitor', env);
    return last.code === code;
  });
  return last;
}

test('level 10 has QEMU itself answer, on both nodes, and level 0 does not', async () => {
  for (const [status, code] of [
    [protectedPrimary, 8],
    [inSync, 0],
  ] as const) {
    const host = await started(status);
    expect(await host.run('monitor', recurring)).toMatchObject({ code });
    expect(await host.journal()).toEqual(['start']);
    expect(await host.run('monitor', level10)).toMatchObject({ code, reason: undefined });
    expect(await host.journal()).toEqual(['start', '{"command":"check-guest"}']);
  }
});

test('a guest that QEMU has stopped for good is failed, and ended instead of handed over', async () => {
  const message = 'QEMU has stopped the guest for good (internal-error): see its log';
  const host = await started(protectedPrimary, {
    refuse: { 'check-guest': { code: 'guest-broken', message } },
  });
  expect(await host.run('monitor', recurring)).toMatchObject({ code: 8 });
  expect(await host.run('monitor', level10)).toMatchObject({ code: 9, reason: message });
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['press-power-button']);
});

test('an engine that does not know the question, or is busy, fails no guest', async () => {
  const refuse = { 'check-guest': { code: 'bad-request', message: 'unknown variant' } };
  const older = await started(protectedPrimary, { refuse });
  expect(await older.run('monitor', level10)).toMatchObject({ code: 8 });
  const busy = await started(protectedPrimary, { mute: 'check-guest' });
  expect(await busy.run('monitor', { ...level10, OCF_RESKEY_CRM_meta_timeout: '8000' })).toMatchObject({
    code: 8,
  });
});

test('scripts run at level 20, one after the other, with the environment of the action, where the guest runs', async () => {
  const host = await started(protectedPrimary);
  const first = await script(host, 'first', WELL);
  const second = await script(
    host,
    'second',
    'echo "$OCF_RESOURCE_INSTANCE $OCF_RESKEY_config $0" >> "$(dirname "$0")/ran"',
  );
  const env = { ...level20, OCF_RESKEY_monitor_scripts: `${first}  ${second}` };
  expect(await host.run('monitor', { ...env, OCF_CHECK_LEVEL: '10' })).toMatchObject({ code: 8 });
  expect(await runs(host)).toBe(0);
  expect(await host.run('monitor', env)).toMatchObject({ code: 8, reason: undefined });
  expect(await readFile(join(host.folder, 'ran'), 'utf8')).toBe(`run\nvm1 ${host.config} ${second}\n`);
  await host.direct({ status: inSync });
  await eventually('a secondary', async () => (await host.run('monitor', env)).code === 0);
  const before = await runs(host);
  expect(await host.run('monitor', env)).toMatchObject({ code: 0 });
  expect(await runs(host)).toBe(before);
});

test('a sick guest fails its monitor, is ended on both nodes by the demote, and can be booted anew', async () => {
  const host = await started(protectedPrimary);
  await host.awaitScore('10000');
  const scripts = `${await script(host, 'sick', SICK)} ${await script(host, 'well', 'touch "$0.ran"')}`;
  const env = { ...level20, OCF_RESKEY_monitor_scripts: scripts };
  const found = await monitorUntil(host, env, 9);
  expect(found.reason).toMatch(/^monitor script \S+\/sick failed \(exit 3\): no answer from the web server$/);
  // Only who has looked says so; and what Pacemaker does next, it does by that.
  expect(await host.run('monitor', recurring)).toMatchObject({ code: 8 });
  expect(await host.run('demote')).toMatchObject({ code: 0, reason: undefined });
  expect(await orders(host)).toEqual(['press-power-button']);
  expect(await host.state()).toMatchObject({ generation: 2, owner: 'n1', role: 'secondary', sync: 'clean' });
  await host.awaitScore(undefined);
  expect(await host.run('monitor')).toMatchObject({ code: 7 });
  expect(await host.run('stop')).toMatchObject({ code: 0 });
  await host.direct({});
  expect(await host.run('start')).toMatchObject({ code: 0 });
  await host.awaitScore('10');
  expect(await host.run('promote')).toMatchObject({ code: 0 });
  expect(await host.journal()).toContain('{"command":"promote","mode":"cold","generation":3}');
});

test('a sick guest that hears no power button is ended all the same; with force_stop it is not asked', async () => {
  for (const [env, expected] of [
    [{ OCF_RESKEY_CRM_meta_timeout: '10000' }, ['press-power-button', 'end-guest']],
    [{ OCF_RESKEY_force_stop: 'true' }, ['end-guest']],
  ] as const) {
    const host = await started(protectedPrimary, { deaf: true });
    const sick = { ...level20, OCF_RESKEY_monitor_scripts: await script(host, 'sick', SICK) };
    await monitorUntil(host, sick, 9);
    expect(await host.run('demote', env)).toMatchObject({ code: 0 });
    expect(await orders(host)).toEqual(expected);
    expect(await host.state()).toMatchObject({ sync: 'clean' });
  }
});

test('a sick guest whose end the other node cannot hear of is demoted as any other', async () => {
  const host = await started(protectedPrimary, { deaf: true, endless: true });
  const sick = { ...level20, OCF_RESKEY_monitor_scripts: await script(host, 'sick', SICK) };
  await monitorUntil(host, sick, 9);
  const env = { OCF_RESKEY_force_stop: 'true', OCF_RESKEY_CRM_meta_timeout: '8000' };
  expect(await host.run('demote', env)).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['end-guest', 'demote']);
});

test('a guest that is well again is handed over', async () => {
  const host = await started(protectedPrimary);
  const path = await script(host, 'moody', SICK);
  const env = { ...level20, OCF_RESKEY_monitor_scripts: path };
  await monitorUntil(host, env, 9);
  await script(host, 'moody', WELL);
  expect(await host.run('monitor', env)).toMatchObject({ code: 8 });
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['demote']);
});

test.each([
  ['by hand', { OCF_CHECK_LEVEL: '20' }],
  ['by a monitor that on-fail=ignore is said of', { ...level20, OCF_RESKEY_CRM_meta_on_fail: 'ignore' }],
])('a guest that is found sick %s is still handed over', async (_, asked) => {
  const host = await started(protectedPrimary);
  const env = { ...asked, OCF_RESKEY_monitor_scripts: await script(host, 'sick', SICK) };
  await monitorUntil(host, env, 9);
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['demote']);
});

test('a script that cannot be run says nothing of the guest: it is shown, and nothing follows', async () => {
  const host = await started(protectedPrimary);
  const env = { ...level20, OCF_RESKEY_monitor_scripts: '/nowhere/script' };
  const shown = await host.run('monitor', env);
  expect(shown).toMatchObject({ code: 191 });
  expect(shown.reason).toContain('monitor script /nowhere/script cannot be run');
  expect(await host.run('monitor', { ...env, OCF_RESKEY_monitor_scripts: 'relative' })).toMatchObject({
    code: 8,
  });
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['demote']);
});

test('a script that does not end is ended, with all that it has started, within the time of the monitor', async () => {
  const host = await started(protectedPrimary);
  const path = await script(host, 'slow', 'sh -c \'echo $$ >> "$0.pid"; exec sleep 600\' "$0" & wait');
  const env = { ...level20, OCF_RESKEY_monitor_scripts: path, OCF_RESKEY_CRM_meta_timeout: '7000' };
  const found = await monitorUntil(host, env, 9);
  expect(found.reason).toMatch(/slow did not end within \d s/);
  const pids = (await readFile(`${path}.pid`, 'utf8')).trim().split('\n').map(Number);
  await eventually('nobody of them is left', () => pids.every((pid) => identify(pid) === undefined));
});

test('what a script says is kept in part only', async () => {
  const host = await started(protectedPrimary);
  const path = await script(host, 'loud', 'yes complaint | head -c 3000000; exit 1');
  const found = await monitorUntil(host, { ...level20, OCF_RESKEY_monitor_scripts: path }, 9);
  expect(found.reason).toContain('complaint complaint');
  expect(found.stderr.length).toBeLessThan(20_000);
});

test('a guest whose outputs wait is not asked, and not found sick by what was asked before', async () => {
  const host = await started(frozen);
  const sick = await script(host, 'sick', SICK);
  const env = { ...level20, OCF_RESKEY_monitor_scripts: sick };
  expect(await host.run('monitor', env)).toMatchObject({ code: 8 });
  expect(await runs(host)).toBe(0);
  await host.direct({ status: protectedPrimary });
  await eventually('protected', async () => (await host.status())['promotion_score'] === '10000');
  await eventually('it is asked', async () => {
    await host.run('monitor', env);
    return (await runs(host)) > 0;
  });
  // The link goes while the script runs, and is back before it fails.
  const fake = join(host.folder, 'lib', 'fake.json');
  const now = (status: object) =>
    `echo '${JSON.stringify({ status })}' > ${fake}.new; mv ${fake}.new ${fake}; sleep 1`;
  const flapping = await script(host, 'flapping', `${now(frozen)}; ${now(protectedPrimary)}; exit 1`);
  await monitorUntil(host, env, 9);
  await script(host, 'sick', WELL);
  expect(await host.run('monitor', env)).toMatchObject({ code: 8 });
  expect(await host.run('monitor', { ...env, OCF_RESKEY_monitor_scripts: flapping })).toMatchObject({
    code: 8,
  });
});

test('a promote that boots the guest is done when the scripts succeed; one that goes on with a replica is not held up', async () => {
  const cold = await Host.create();
  await cold.setAttribute('kemari-vm1-disk', 'n2', '0:-:none:secondary');
  const booting = await script(
    cold,
    'booting',
    SICK.replace('exit 3', '[ "$(wc -l < "$(dirname "$0")/ran")" -ge 3 ]'),
  );
  const env = { OCF_RESKEY_monitor_scripts: booting };
  await cold.run('start', env);
  expect(await cold.run('promote', env)).toMatchObject({ code: 0, reason: undefined });
  expect(await runs(cold)).toBe(3);

  const hot = await started(inSync);
  await hot.direct({});
  expect(
    await hot.run('promote', { OCF_RESKEY_monitor_scripts: await script(hot, 'sick', SICK) }),
  ).toMatchObject({ code: 0 });
  expect(await runs(hot)).toBe(0);
});

test('a guest that does not come up fails its promote, and is ended and not handed over', async () => {
  const host = await Host.create();
  await host.setAttribute('kemari-vm1-disk', 'n2', '0:-:none:secondary');
  const env = { OCF_RESKEY_monitor_scripts: await script(host, 'sick', SICK) };
  await host.run('start', env);
  const promoted = await host.run('promote', { ...env, OCF_RESKEY_CRM_meta_timeout: '8000' });
  expect(promoted.code).toBe(1);
  expect(promoted.reason).toContain('the guest did not come up in time: monitor script');
  expect(await host.run('demote')).toMatchObject({ code: 0 });
  expect(await orders(host)).toEqual(['promote', 'press-power-button']);
});

test('a script that is not there, or cannot be run, is a missing requirement of this host', async () => {
  const host = await Host.create();
  const plain = await script(host, 'plain', WELL);
  await chmod(plain, 0o644);
  for (const [path, why] of [
    ['/nowhere/script', 'ENOENT'],
    [plain, 'EACCES'],
    [host.folder, 'it is no file'],
  ] as const) {
    const env = { OCF_RESKEY_monitor_scripts: path };
    for (const [action, level] of [
      ['validate-all', '10'],
      ['start', '0'],
    ] as const) {
      const refused = await host.run(action, { ...env, OCF_CHECK_LEVEL: level });
      expect(refused.code).toBe(5);
      expect(refused.reason).toContain(`monitor script ${path} cannot be run on this host (${why})`);
    }
    expect(await host.run('validate-all', env)).toMatchObject({ code: 0 });
  }
});
