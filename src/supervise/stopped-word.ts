import { deleteAttribute, setPrivateAttribute } from '../pacemaker/tools.js';
import type { ResourcePaths } from '../common/paths.js';
import { diskAttribute, formatDiskWord } from './disk-word.js';
import { DurableStore, initialState } from './durable-state.js';

/**
 * Says what is on the disk of a node on which nothing runs of this resource: whoever would start the guest from cold
 * elsewhere must know of a newer one here. Only while nobody else owns state.json.
 * @throws AgentError when the cluster does not take it
 */
export async function tellStoppedDisk(paths: ResourcePaths, node: string): Promise<void> {
  const name = diskAttribute(paths.resource);
  const durable = await new DurableStore(paths).load().catch(() => null);
  // What cannot be read is not guessed: nothing is known of this disk then.
  if (durable === null) await deleteAttribute(name, node);
  else await setPrivateAttribute(name, node, formatDiskWord(durable ?? initialState(''), false));
}
