// Where the checkout is. The tests run from test/, the demo bundled from cache/: package.json is above both.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findProject(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  const parent = dirname(folder);
  if (parent === folder) throw new Error('the lab does not run from a checkout of Kemari');
  return findProject(parent);
}

/** The checkout's top folder. */
export const PROJECT = findProject(dirname(fileURLToPath(import.meta.url)));
