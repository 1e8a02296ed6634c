import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tapName } from '../../src/config/engine-spec.js';
import { readVm } from '../../src/config/read-config.js';
import { checkRequirements } from '../../src/config/requirements.js';
import { syncEnds } from '../../src/config/sync-ends.js';
import type { AgentError } from '../../src/common/error.js';
import { hangingFile } from '../fixtures/fifo.js';
import type { SyncAddress } from '../../src/pacemaker/parameter-kinds.js';
import { readParameters } from '../../src/pacemaker/parameters.js';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp('/tmp/kemari-config-');
  file = join(folder, 'vm1.xml');
});
afterAll(() => rm(folder, { recursive: true }));

test('the example is taken', async () => {
  const example = new URL('../../ocf/examples/vm1.xml', import.meta.url).pathname;
  expect(await readVm(example, {})).toMatchObject({
    name: 'vm1',
    memory_mib: 256,
    cpu: 'qemu64,svm=off,vmx=off',
  });
});

test.each([
  ['nothing', '', /vm1\.xml:1: not a libvirt domain description/],
  ['half of it', '<domain type="kvm">\n<name>', /vm1\.xml:\d: not a libvirt domain description/],
  ['JSON', '{"uuid": 1}', /not a libvirt domain description/],
  ['too much', `<domain><!-- ${'x'.repeat(300_000)} --></domain>`, /a domain XML has at most/],
])('a file that holds %s is refused', async (_, content, sentence) => {
  await writeFile(file, content);
  await expect(readVm(file, {})).rejects.toThrow(sentence);
});

test('a file that is not there, and a folder, are refused', async () => {
  await expect(readVm(join(folder, 'none.xml'), {})).rejects.toThrow('does not exist');
  await expect(readVm(folder, {})).rejects.toThrow('is not a file');
});

test('a file that the description names and the host lacks is a missing requirement', async () => {
  const vm = await readVm(new URL('../../ocf/examples/vm1.xml', import.meta.url).pathname, {});
  const values = readParameters({ OCF_RESKEY_config: file });
  const lacking = { ...vm, kernel: join(folder, 'none') };
  const error: unknown = await checkRequirements(lacking, values).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'missing-requirement' });
  expect((error as AgentError).message).toContain(`${file}: <kernel> names ${join(folder, 'none')}`);
});

test('a FIFO is refused, and nobody is waited for who would write into it', async () => {
  const fifo = join(folder, 'fifo.xml');
  await hangingFile(fifo);
  await expect(readVm(fifo, {})).rejects.toThrow('is not a file');
});

const from = 'parameter sync_address';
const address = (text: string): SyncAddress => ({ address: text, port: undefined });

test('a node finds its own end and the other one; a port of its own goes before that of all', () => {
  const addresses = new Map<string, SyncAddress>([
    ['n1', { address: '10.0.0.1', port: 7901 }],
    ['n2', address('fd00::2')],
  ]);
  expect(syncEnds({ addresses, from }, 7900, 'n1')).toEqual({
    listen: { address: '10.0.0.1', port: 7901 },
    peers: [{ node: 'n2', address: 'fd00::2', port: 7900 }],
  });
});

test('addresses that do not name this node and others, each with its own, are refused by name', () => {
  const two = new Map([
    ['n1', address('10.0.0.1')],
    ['n2', address('10.0.0.2')],
  ]);
  expect(() => syncEnds({ addresses: two, from }, 7900, 'n3')).toThrow(
    'parameter sync_address names n1 and n2, but this node is n3',
  );
  const one = new Map([['n1', address('10.0.0.1')]]);
  expect(() => syncEnds({ addresses: one, from }, 7900, 'n1')).toThrow('only n1 has a sync address');
  const same = new Map([...two, ['n3', address('10.0.0.2')]]);
  expect(() => syncEnds({ addresses: same, from }, 7900, 'n1')).toThrow(
    'n2 and n3 have the same sync address 10.0.0.2, port 7900',
  );
  const many = new Map(Array.from({ length: 33 }, (_, i) => [`n${i}`, address(`10.0.0.${i}`)] as const));
  expect(() => syncEnds({ addresses: many, from }, 7900, 'n1')).toThrow(
    '33 nodes have a sync address: 32 at most',
  );
});

test('of three nodes each may have the replica of either other', () => {
  const three = new Map(['n1', 'n2', 'n3'].map((node, i) => [node, address(`10.0.0.${i + 1}`)] as const));
  const { listen, peers } = syncEnds({ addresses: three, from }, 7900, 'n2');
  expect(listen).toEqual({ address: '10.0.0.2', port: 7900 });
  expect(peers.map(({ node }) => node)).toEqual(['n1', 'n3']);
});

test('the name of a TAP device always fits, and differs between resources', () => {
  const names = ['vm1', 'a-resource-with-a-long-name', 'a-resource-with-a-long-name2', 'dots.in.it'].flatMap(
    (resource) => [0, 1, 7].map((number) => tapName(resource, number)),
  );
  for (const name of names) expect(name).toMatch(/^[a-z0-9_-]{1,15}$/);
  expect(new Set(names).size).toBe(names.length);
  expect(names[0]).toBe('kvm1');
});
