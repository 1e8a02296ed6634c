// The lab itself: it comes up as a real cluster and goes away without a trace, whatever happens to its owner.
import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { build } from 'esbuild';
import { afterEach, expect, test } from 'vitest';
import { Lab } from './lab.js';
import { POWER_ADDRESS, POWER_PORT, switchAddress } from './networks.js';
import { PROJECT } from './project.js';
import { expectNothingLeft, processesOf } from './traces.js';
import { waitFor } from './wait-for.js';

let lab: Lab | undefined;
afterEach(async () => lab?.down());

test('a lab comes up as one cluster with quorum, changes nothing of the machine and leaves nothing', async () => {
  const before = (await execa('ip', ['-brief', 'link'])).stdout;
  lab = await Lab.up();
  const status = await lab.status('n2');
  expect(status.quorate).toBe(true);
  expect(status.nodes.map((node) => node.name)).toEqual(['n1', 'n2']);
  expect(await processesOf(lab.run)).not.toEqual([]);
  await lab.node('n1').run(['touch', '/usr/bin/only-here', '/etc/only-here', '/var/only-here']);
  for (const folder of ['/usr/bin', '/etc', '/var']) expect(existsSync(`${folder}/only-here`)).toBe(false);
  expect((await lab.exec('n2', ['test', '-e', '/etc/only-here'])).exit_code).toBe(1);
  expect(existsSync('/usr/sbin/fence_lab')).toBe(false);
  expect((await execa('ip', ['-brief', 'link'])).stdout).toBe(before);
  await lab.down();
  await expectNothingLeft(lab.run);
});

test('who is powered off and on changes nothing for those who talk to the power controller', async () => {
  lab = await Lab.up();
  const { node, power } = { node: lab.node('n2'), power: lab.power };
  const ask = `exec 3<>/dev/tcp/${POWER_ADDRESS}/${POWER_PORT}; ip -o neigh show ${POWER_ADDRESS}`;
  const known = async (): Promise<string> => {
    await node.run(['ip', 'neigh', 'flush', 'all']);
    return /lladdr (\S+)/.exec(await node.run(['timeout', '20', 'bash', '-c', ask]))?.[1] ?? 'unknown';
  };
  expect(await known()).toBe(switchAddress('mgmt'));
  await power.off('n1');
  await power.on('n1');
  expect(await known()).toBe(switchAddress('mgmt'));
});

test('a lab ends with its owner, also when that is killed', async () => {
  const owner = `${PROJECT}/cache/lab-owner.mjs`;
  const program = `import { Lab } from '${PROJECT}/test/lab/lab.ts';
    const lab = await Lab.up(); console.log(lab.run); setInterval(() => {}, 1000);`;
  await build({
    stdin: { contents: program, resolveDir: PROJECT, loader: 'ts' },
    outfile: owner,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
  });
  const child = execa(process.execPath, [owner], { reject: false });
  let run = '';
  child.stdout.on('data', (text: Buffer) => (run += text.toString()));
  await waitFor('the lab of another process', () => run.endsWith('\n'), { timeout_ms: 60_000 });
  run = run.trim();
  expect(await processesOf(run)).not.toEqual([]);
  child.kill('SIGKILL');
  await child;
  await waitFor('its end', () => !existsSync(run), { timeout_ms: 20_000 });
  await waitFor('the end of its processes', async () => (await processesOf(run)).length === 0, {
    timeout_ms: 5000,
  });
  await expectNothingLeft(run);
});
