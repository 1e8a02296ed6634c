import { setTimeout as sleep } from 'node:timers/promises';
import { readParameters } from '../pacemaker/parameters.js';
import { deleteAttribute, queryAttributes, setAttribute, setPrivateAttribute } from '../pacemaker/tools.js';
import { bounded } from '../common/bounded.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { decideScore } from '../supervise/decide-score.js';
import {
  diskAttribute,
  formatDiskWord,
  parseDiskWord,
  scoreAttribute,
  type DiskWord,
} from '../supervise/disk-word.js';
import { initialState, type DurableState } from '../supervise/durable-state.js';
import { straysOf } from './absence.js';
import { wasStarted } from './context.js';
import { nodeOf } from './node.js';
import { readState } from './state-process.js';
import { nodesOf } from './sync-addresses.js';

/** A score of a node where nothing runs: more than what keeps an instance where it is, less than any replica's. */
const DRAW = 900;

/**
 * Says what is on the disk of a node where nothing of the resource runs, which nobody does later: whoever would start the
 * guest from cold elsewhere must know of a newer one here. A cluster that does not take it fails no probe and no stop.
 */
export async function tellDisk(
  paths: ResourcePaths,
  env: Environment,
  when: 'probe' | 'stop',
  deadline: number,
): Promise<void> {
  const left = Math.max(deadline - Date.now(), 1);
  try {
    await bounded('the word on the disk', tell(paths, env, when, left), left);
  } catch {
    // Without a word a cold start elsewhere waits for this node: the safe side.
  }
}

async function tell(
  paths: ResourcePaths,
  env: Environment,
  when: 'probe' | 'stop',
  leftMs: number,
): Promise<void> {
  const node = await nodeOf(env);
  const diskMs = Math.min(limits.disk_stuck_ms, leftMs / 2);
  const durable = await readState(paths.resource, env, diskMs).catch(() => null);
  const isStopped = async () => !wasStarted(paths) && (await straysOf(paths)).length === 0;
  if (!(await isStopped())) return;
  // What cannot be read is not guessed: nothing is known of this disk then.
  if (durable === null) {
    await deleteAttribute(diskAttribute(paths.resource), node);
    return;
  }
  const known = durable ?? initialState('');
  await setPrivateAttribute(diskAttribute(paths.resource), node, formatDiskWord(known, 'stopped'));
  if (known.sync === 'none') return;
  const peers = (await nodesOf(readParameters(env))).filter((name) => name !== node);
  if (peers.length < 2) return;
  // A stop in a failover must neither wait nor disturb it; after the guest's own end there is time.
  if (when === 'stop' && known.sync !== 'clean') return;
  const draws = await isWantedHere(paths, node, known, peers);
  if (!(await isStopped())) return;
  const score = scoreAttribute(paths.resource);
  await (draws ? setAttribute(score, node, String(DRAW)) : deleteAttribute(score, node));
}

/**
 * With more nodes than instances Pacemaker may start them elsewhere, where nobody may boot the guest, or build the replica
 * that its outputs wait for: a promotion score brings an instance to a node that is needed. All nodes are probed, or
 * stopped, at about the same time: what they have not said yet is waited for.
 */
async function isWantedHere(
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
    const runs = [...peer_disks].find(([, disk]) => disk?.role === 'primary');
    if (runs) return isAwaited(me, durable, runs);
    if (decideScore({ me, engine, durable, peer_disks, disk_writable: true }) !== null) return true;
    if (![...peer_disks.values()].includes(undefined) || Date.now() >= deadline) return false;
    await sleep(limits.shutdown_poll_ms);
  }
}

/** The guest that runs there had its replica here, and calls nobody else before that is sorted out. */
function isAwaited(me: string, durable: DurableState, [node, disk]: [string, DiskWord | undefined]): boolean {
  return (
    durable.sync === 'protected' &&
    durable.owner === node &&
    node !== me &&
    disk?.generation === durable.generation
  );
}
