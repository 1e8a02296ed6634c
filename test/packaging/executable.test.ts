import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';

const executable = fileURLToPath(new URL('../../dist/kemari', import.meta.url));

// `npm run build` comes before every test command; a developer's quick run may go without.
test.runIf(existsSync(executable))(
  'the executable runs as Pacemaker runs it: by a link, with nothing around it',
  async () => {
    const folder = await mkdtemp('/tmp/kemari-executable-');
    onTestFinished(() => rm(folder, { recursive: true }));
    const agent = join(folder, 'vm');
    await symlink(executable, agent);
    const run = (args: string[], env: Record<string, string> = {}) =>
      execa(agent, args, { extendEnv: false, env, reject: false });

    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect((await run(['--version'])).stdout).toBe(manifest.version);
    expect((await run(['meta-data'])).stdout).toContain('<resource-agent name="vm"');
    expect((await run(['no-such-action'])).exitCode).toBe(3);
    const probe = await run(['monitor'], { OCF_RESOURCE_INSTANCE: 'vm1', KEMARI_RUN_DIR: folder });
    expect(probe).toMatchObject({ exitCode: 7, stdout: '', stderr: '' });
    const help = await run(['--help']);
    for (const word of ['promote', 'kemari status vm1 --json', 'OCF_RESKEY_config'])
      expect(help.stdout).toContain(word);
  },
);

/** Answers whatever it is asked as the supervisor of a protected guest does. */
async function healthySupervisor(path: string): Promise<void> {
  const server = createServer((socket) => {
    socket.on('data', (line) => {
      const { id } = JSON.parse(line.toString()) as { id: number };
      const ok = { phase: 'running', monitor: { code: 8, recurring: 8, reason: null } };
      socket.write(`${JSON.stringify({ v: 1, id, ok })}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
}

/** The scripts of kemari that a command evaluates, by the name that they have in the executable. */
async function evaluated(command: string): Promise<string[]> {
  const folder = await mkdtemp('/tmp/kemari-evaluated-');
  onTestFinished(() => rm(folder, { recursive: true }));
  const coverage = join(folder, 'coverage');
  await mkdir(join(folder, 'vm1'));
  await healthySupervisor(join(folder, 'vm1', 'supervisor.sock'));
  const env = { NODE_V8_COVERAGE: coverage, OCF_RESOURCE_INSTANCE: 'vm1', KEMARI_RUN_DIR: folder };
  await execa(executable, [command], {
    extendEnv: false,
    env: { ...env, OCF_RESKEY_CRM_meta_interval: '5000' },
    reject: false,
  });
  const scripts = new Set<string>();
  for (const file of await readdir(coverage)) {
    const { result } = JSON.parse(await readFile(join(coverage, file), 'utf8')) as {
      result: { url: string }[];
    };
    for (const { url } of result) if (!url.startsWith('node:')) scripts.add(basename(url));
  }
  return [...scripts].sort();
}

test.runIf(existsSync(executable))(
  'what Pacemaker runs all the time evaluates the small file of the executable alone',
  async () => {
    expect(await evaluated('monitor')).toEqual(['kemari.cjs']);
    expect(await evaluated('meta-data')).toEqual(['kemari.cjs']);
    expect(await evaluated('validate-all')).toEqual(['kemari-program.cjs', 'kemari.cjs']);
  },
);
