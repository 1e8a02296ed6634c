import type { Environment, ResourcePaths } from '../common/paths.js';
import { tellStoppedDisk } from '../supervise/stopped-word.js';
import { nodeOf } from './node.js';

/** Of a node where nothing runs: nobody is there to say it later. A cluster that does not take it fails no probe. */
export async function tellDisk(paths: ResourcePaths, env: Environment): Promise<void> {
  await nodeOf(env)
    .then((node) => tellStoppedDisk(paths, node))
    .catch(() => undefined);
}
