import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
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
