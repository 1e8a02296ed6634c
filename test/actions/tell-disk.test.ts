import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { initialState } from '../../src/supervise/durable-state.js';
import { hangingFile } from '../fixtures/fifo.js';
import { Host } from '../fixtures/host.js';

const three = { OCF_RESKEY_sync_address: 'n1:10.0.0.1;n2:10.0.0.2;n3:10.0.0.3' };

/** A node where nothing runs, whose disk has the newest guest. */
async function stoppedHost(): Promise<Host> {
  const host = await Host.create();
  await mkdir(dirname(host.paths.state), { recursive: true });
  const state = { ...initialState('6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f'), generation: 4, owner: 'n1' };
  await writeFile(host.paths.state, JSON.stringify({ ...state, sync: 'clean' }));
  await host.setAttribute('kemari-vm1-disk', 'n2', '4:n1:outdated:stopped');
  await host.setAttribute('kemari-vm1-disk', 'n3', '2:n2:outdated:stopped');
  return host;
}

test.each([
  ['monitor', 7],
  ['stop', 0],
])(
  'a cluster that takes its time for every answer does not get more of it than %s has',
  async (action, code) => {
    const host = await stoppedHost();
    // One answer takes longer than all that there is time for.
    await writeFile(join(host.folder, 'cluster', 'slow'), '1500');
    const env = { ...three, OCF_RESKEY_CRM_meta_timeout: '1500' };
    expect(await host.run(action, env)).toMatchObject({ code, reason: undefined });
    const calls = await readFile(join(host.folder, 'cluster', 'calls'), 'utf8').catch(() => '');
    expect(calls).not.toContain('master-vm1=');
  },
);

test.each([
  ['monitor', 7],
  ['stop', 0],
])('a disk that hangs is not waited for by %s, and nothing is said of it', async (action, code) => {
  const host = await stoppedHost();
  await host.setAttribute('kemari-vm1-disk', 'n1', '4:n1:clean:stopped');
  await hangingFile(host.paths.state);
  const env = { ...three, OCF_RESKEY_CRM_meta_timeout: '20000' };
  expect(await host.run(action, env)).toMatchObject({ code, reason: undefined });
  expect(await host.attribute('kemari-vm1-disk')).toBeUndefined();
});
