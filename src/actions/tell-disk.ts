import { setTimeout as sleep } from 'node:timers/promises';
import { readParameters } from '../pacemaker/parameters.js';
import { deleteAttribute, queryAttributes, setAttribute, setPrivateAttribute } from '../pacemaker/tools.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { decideScore } from '../supervise/decide-score.js';
import { diskAttribute, formatDiskWord, parseDiskWord, scoreAttribute } from '../supervise/disk-word.js';
import { DurableStore, initialState, type DurableState } from '../supervise/durable-state.js';
import { nodeOf } from './node.js';
import { nodesOf } from './sync-addresses.js';

/**
 * Says what is on the disk of a node where nothing of the resource runs, which nobody does later: whoever would start the
 * guest from cold elsewhere must know of a newer one here. A cluster that does not take it fails no probe and no stop.
 */
export async function tellDisk(paths: ResourcePaths, env: Environment): Promise<void> {
  try {
    const node = await nodeOf(env);
    const durable = await new DurableStore(paths).load().catch(() => null);
    // What cannot be read is not guessed: nothing is known of this disk then.
    if (durable === null) await deleteAttribute(diskAttribute(paths.resource), node);
    else {
      const known = durable ?? initialState('');
      await setPrivateAttribute(diskAttribute(paths.resource), node, formatDiskWord(known, false));
      if (known.sync !== 'none') await attractInstance(paths, env, node, known);
    }
  } catch {
    // Without a word a cold start elsewhere waits for this node: the safe side.
  }
}

/**
 * With more nodes than instances Pacemaker may start them elsewhere, and nobody there may boot the guest: a promotion
 * score, while nothing runs anywhere, brings an instance to the node that may.
 */
async function attractInstance(
  paths: ResourcePaths,
  env: Environment,
  me: string,
  durable: DurableState,
): Promise<void> {
  const peers = (await nodesOf(readParameters(env))).filter((name) => name !== me);
  if (peers.length < 2) return;
  const name = scoreAttribute(paths.resource);
  if (await isNewest(paths, me, durable, peers)) await setAttribute(name, me, '10');
  else await deleteAttribute(name, me);
}

/** All nodes are probed, or stopped, at about the same time: what they have not said yet is waited for. */
async function isNewest(
  paths: ResourcePaths,
  me: string,
  durable: DurableState,
  peers: readonly string[],
): Promise<boolean> {
  const engine = { role: 'secondary', state: 'empty' } as const;
  const deadline = Date.now() + limits.disk_words_ms;
  for (;;) {
    const words = await queryAttributes(diskAttribute(paths.resource));
    const peer_disks = new Map(peers.map((peer) => [peer, parseDiskWord(words.get(peer))]));
    if (decideScore({ me, engine, durable, peer_disks, disk_writable: true }) === 10) return true;
    const all = [...peer_disks.values()];
    const isSettled = all.every((disk) => disk?.role === 'secondary');
    if (isSettled || Date.now() >= deadline) return false;
    await sleep(limits.shutdown_poll_ms);
  }
}
