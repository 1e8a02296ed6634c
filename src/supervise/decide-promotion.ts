import type { EngineStatus } from '../engine/messages.js';
import type { DiskWords } from './disk-word.js';
import { decideScore, isNewer } from './decide-score.js';
import type { DurableState } from './durable-state.js';

export interface PromotionEvidence {
  readonly resource: string;
  readonly me: string;
  readonly engine: EngineStatus;
  readonly durable: DurableState;
  readonly peer_disks: DiskWords;
}

export type Promotion =
  | { readonly kind: 'already' }
  | { readonly kind: 'hot' | 'cold'; readonly generation: number }
  | { readonly kind: 'refuse'; readonly reason: string };

/** How to promote, or the sentence that says why not. Pure. The generation is above every one that was ever seen here. */
export function decidePromotion(evidence: PromotionEvidence): Promotion {
  const { engine, durable, resource, me } = evidence;
  const generation = Math.max(durable.generation, engine.generation) + 1;
  switch (engine.state) {
    case 'solo':
    case 'syncing':
    case 'protected':
    case 'frozen':
      return { kind: 'already' };
    case 'ended':
      return {
        kind: 'refuse',
        reason: `the guest of ${resource} has powered itself off on ${me}: stop the resource, then start it again`,
      };
    case 'in-sync':
    case 'handed-over':
    case 'parked':
      return { kind: 'hot', generation };
    case 'receiving': {
      const progress = engine.sync_progress ? ` (${engine.sync_progress.percent}%)` : '';
      return {
        kind: 'refuse',
        reason: `the replica on ${me} is not complete${progress}: promoting it would start a broken guest`,
      };
    }
    case 'empty':
      // Whether the disk takes a write is seen when it is written to.
      return decideScore({ ...evidence, disk_writable: true }) === null
        ? { kind: 'refuse', reason: coldRefusal(evidence) }
        : { kind: 'cold', generation };
  }
}

function coldRefusal({ resource, me, durable, peer_disks }: PromotionEvidence): string {
  for (const [peer, disk] of peer_disks) {
    if (disk?.role === 'primary')
      return `${peer} runs the guest of ${resource}: a cold start on ${me} would make a second one`;
  }
  for (const [peer, disk] of peer_disks) {
    if (disk && isNewer(disk, durable, me))
      return `${peer} has the newer guest of ${resource} (generation ${disk.generation}, here ${durable.generation}): promote ${peer}`;
  }
  const [[stopped, disk] = []] = [...peer_disks];
  if (peer_disks.size === 1 && disk && stopped !== undefined)
    return `${stopped}, where ${resource} is stopped, may boot the same guest on its own: start ${stopped}`;
  const unknown = [...peer_disks].filter(([, disk]) => !disk).map(([peer]) => peer);
  return `${me} has no replica of ${resource} and cannot prove that its own state (generation ${durable.generation}, ${durable.sync}) is the newest while ${unknown.join(' and ')} ${unknown.length > 1 ? 'are' : 'is'} away: start ${unknown.join(' and ')}`;
}
