import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { engineSpec, translate } from '../../src/config/engine-spec.js';
import { syncEnds } from '../../src/config/sync-ends.js';
import { pathsOf } from '../../src/common/paths.js';
import { readDomain } from '../../src/domain/read-domain.js';
import { readParameters } from '../../src/pacemaker/parameters.js';

const golden = JSON.parse(await readFile(new URL('spec/engine.json', import.meta.url), 'utf8')) as unknown;

test('the golden spec is read, and written again as it was', () => {
  expect(v.parse(engineSpec, golden)).toEqual(golden);
});

test('the example and its parameters are translated to the golden spec', async () => {
  const file = new URL('../../ocf/examples/vm1.xml', import.meta.url);
  const vm = readDomain(await readFile(file, 'utf8'), 'vm1.xml');
  const values = readParameters({
    OCF_RESKEY_config: '/etc/kemari/vm1.xml',
    OCF_RESKEY_sync_address: 'n2:10.77.2.2;n1:10.77.2.1',
  });
  const ends = syncEnds(
    { addresses: values.sync_address ?? new Map(), from: 'parameter sync_address' },
    values.sync_port,
    'n1',
  );
  const description = {
    vm,
    values,
    node: 'n1',
    ends,
    supervisor: ['kemari', 'supervise', '/run/kemari/vm1'],
  };
  expect(translate(description, pathsOf('vm1', {}), '/usr/lib/kemari')).toEqual(golden);
});
