import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { engineSpec, translate } from '../../src/config/engine-spec.js';
import { vmConfig } from '../../src/config/vm-config.js';
import { pathsOf } from '../../src/common/paths.js';

const golden = JSON.parse(await readFile(new URL('spec/engine.json', import.meta.url), 'utf8')) as unknown;

test('the golden spec is read, and written again as it was', () => {
  expect(v.parse(engineSpec, golden)).toEqual(golden);
});

test('a config of the same VM is translated to the golden spec', () => {
  const config = v.parse(vmConfig, {
    uuid: '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f',
    memory_mib: 256,
    vcpus: 1,
    cpu: 'qemu64,svm=off',
    kernel: '/var/lib/kemari/images/vmlinuz',
    initrd: '/var/lib/kemari/images/initrd.gz',
    cmdline: 'console=ttyS0 quiet',
    interfaces: [{ mac: '52:54:00:6b:00:01', bridge: 'br0' }],
    sync: { n2: { address: '10.77.2.2', port: 7900 }, n1: { address: '10.77.2.1', port: 7900 } },
  });
  expect(translate(config, '/etc/kemari/vm1.json', 'n1', pathsOf('vm1', {}), '/usr/lib/kemari')).toEqual(
    golden,
  );
});
