// A disk of logs that takes nothing costs its lines, and nothing else.
import { mkdir, rm, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { isAlive } from '../../src/common/process-identity.js';
import { Host } from '../fixtures/host.js';
import { eventually } from '../fixtures/eventually.js';
import { send } from '../fixtures/send.js';

test.each([
  ['a full disk', (log: string) => symlink('/dev/full', log)],
  ['what is no file', (log: string) => mkdir(log)],
])(
  'a VM starts, is promoted, monitored and stopped, and its supervisor comes back, with logs on %s',
  async (_what, spoil) => {
    const host = await Host.create({ status: { role: 'secondary', state: 'in-sync', generation: 2 } });
    const { log, engine_log } = host.paths;
    await mkdir(dirname(log), { recursive: true });
    for (const one of [log, engine_log]) {
      await rm(one, { force: true });
      await spoil(one);
    }
    expect(await host.run('start')).toMatchObject({ code: 0 });
    await host.awaitScore('1000');
    const { supervisor } = await host.record();
    send('SIGKILL', supervisor);
    await eventually('the supervisor is gone', () => supervisor !== undefined && !isAlive(supervisor));
    await host.direct({});
    expect(await host.run('promote')).toMatchObject({ code: 0 });
    expect(await host.run('monitor')).toMatchObject({ code: 8 });
    expect(await host.run('stop')).toMatchObject({ code: 0 });
  },
);
