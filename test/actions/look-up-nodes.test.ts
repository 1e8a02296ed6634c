import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { hostNameOf, lookUpNodes } from '../../src/actions/look-up-nodes.js';
import { Host } from '../fixtures/host.js';

const hosts = new Map([
  ['n1-sync', '10.0.0.1'],
  ['n2-sync', 'fd00::2'],
  ['home-sync', '127.0.1.1'],
]);

function lookUp(name: string): Promise<{ address: string }> {
  const address = hosts.get(name);
  return address === undefined
    ? Promise.reject(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }))
    : Promise.resolve({ address });
}

test.each([
  ['n1', 'n1-sync'],
  ['n1.example.org', 'n1-sync.example.org'],
])('node %s is %s on the sync network, as VirtualDomain makes such names', (node, name) => {
  expect(hostNameOf(node, '-sync')).toBe(name);
});

test('each node has the address of its name', async () => {
  expect([...(await lookUpNodes(['n1', 'n2'], '-sync', lookUp))]).toEqual([
    ['n1', { address: '10.0.0.1', port: undefined }],
    ['n2', { address: 'fd00::2', port: undefined }],
  ]);
});

test.each([
  ['n3', 'n3-sync (node n3, parameter migration_network_suffix) cannot be looked up here (ENOTFOUND)'],
  ['home', 'is 127.0.1.1, which only this host can reach'],
])('%s is refused', async (node, sentence) => {
  await expect(lookUpNodes(['n1', node], '-sync', lookUp)).rejects.toThrow(sentence);
});

test('of several nodes without an address the first is named, whichever name is refused first', async () => {
  const refuse = async (name: string) => {
    if (name.startsWith('n3')) await sleep(20);
    return lookUp(name);
  };
  await expect(lookUpNodes(['n3', 'n4'], '-sync', refuse)).rejects.toThrow('the host name n3-sync (node n3');
});

test('a name server that does not answer holds nothing up', async () => {
  const silent = () => new Promise<never>(() => undefined);
  await expect(lookUpNodes(['n1', 'n2'], '-sync', silent, 10)).rejects.toThrow(
    'was looked up for 10 ms in vain',
  );
});

test('a start says which name has no address on this node', async () => {
  const host = await Host.create();
  const nodes = '<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>';
  await writeFile(join(host.folder, 'cluster', 'nodes.xml'), nodes);
  const env = { OCF_RESKEY_sync_address: '', OCF_RESKEY_migration_network_suffix: '-sync.invalid' };
  const started = await host.run('start', env);
  expect(started.code).toBe(2);
  expect(started.reason).toContain('the host name n1-sync.invalid (node n1');
});
