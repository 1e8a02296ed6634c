import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { Host } from '../fixtures/host.js';

const possible = existsSync('/usr/sbin/ocf-tester') && process.getuid?.() === 0;

test.runIf(possible)(
  'the agent passes ocf-tester',
  async () => {
    const host = await Host.create({ demoted: 'parked' });
    await host.setAttribute('kemari-vm1-disk', 'n2', '0:-:none:secondary');
    const agent = join(host.folder, 'vm');
    await writeFile(agent, `#!/bin/sh\nexec ${process.execPath} ${inject('kemari')} "$@"\n`);
    // It asks for the metadata as an unprivileged user.
    for (const path of [host.folder, agent, dirname(inject('kemari'))]) await chmod(path, 0o755);
    const { PATH, ...env } = host.env;
    const tested = await execa('ocf-tester', ['-v', '-n', 'vm1', '-o', `config=${host.config}`, agent], {
      env: { ...env, PATH: `${PATH ?? ''}:/usr/sbin` },
      extendEnv: false,
      reject: false,
      all: true,
    });
    expect(tested.all).toContain('passed all tests');
    // It starts some dozens of agents one after the other; on a busy machine each takes seconds.
  },
  600_000,
);
