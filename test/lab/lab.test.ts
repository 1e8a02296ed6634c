// The lab itself: it comes up as a real cluster and goes away without a trace, whatever happens to its owner.
import { existsSync } from 'node:fs';
import { readFile, readlink, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Lab } from './lab.js';

let lab: Lab | undefined;
afterAll(async () => lab?.down());

test('a lab of two nodes comes up as one cluster with quorum', async () => {
  const t = Date.now();
  lab = await Lab.up();
  console.log('up', Date.now() - t);
  const status = await lab.status('n2');
  expect(status.quorate).toBe(true);
  expect(status.nodes.map((node) => node.name)).toEqual(['n1', 'n2']);
  const t2 = Date.now();
  await lab.exec('n1', ['true']);
  console.log('exec', Date.now() - t2);
  const t1 = Date.now();
  await lab.down();
  console.log('down', Date.now() - t1);
});
