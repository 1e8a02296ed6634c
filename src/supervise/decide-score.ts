import type { EngineRole, EngineState } from '../engine/messages.js';
import type { DiskWord, DiskWords } from './disk-word.js';
import type { DurableState } from './durable-state.js';

export interface ScoreEvidence {
  readonly me: string;
  /** undefined: no engine, or it is lost. */
  readonly engine: { readonly role: EngineRole; readonly state: EngineState } | undefined;
  readonly durable: DurableState;
  /** Of all other nodes that may have had the guest; undefined: that node is away, or has not spoken. */
  readonly peer_disks: DiskWords;
  /** The disk took the last write: a promotion begins with one. */
  readonly disk_writable: boolean;
}

/** null: no score, so Pacemaker never promotes this node. */
export type Score = 10000 | 1000 | 10 | 5 | null;

/** May this node be promoted, and how much rather than the other? Pure. */
export function decideScore(evidence: ScoreEvidence): Score {
  const score = scoreOf(evidence);
  // A guest that runs needs no write, and without its score Pacemaker would demote it.
  return score === 10000 || evidence.disk_writable ? score : null;
}

function scoreOf({ me, engine, durable, peer_disks }: ScoreEvidence): Score {
  switch (engine?.state) {
    case undefined:
      return null;
    case 'solo':
    case 'syncing':
    case 'protected':
    case 'frozen':
      return 10000;
    case 'in-sync':
    case 'handed-over':
    case 'parked':
      return 1000;
    case 'ended':
    case 'receiving':
      return null;
    case 'empty':
      return coldStartScore(me, durable, peer_disks);
  }
}

/**
 * A cold start needs proof that no newer guest exists: all other disks are seen, or ours says it. Ours alone says it only
 * if there is one other node: of more, one may have had the word of another and begun a newer guest while we were away.
 */
function coldStartScore(me: string, durable: DurableState, peers: DiskWords): Score {
  const iAmOwner = durable.owner === me;
  const isUnknown = [...peers.values()].includes(undefined);
  const mayBeAlone = peers.size === 1 && iAmOwner && (durable.sync === 'solo' || durable.sync === 'clean');
  if (isUnknown && !mayBeAlone) return null;
  const known = [...peers.values()].filter((one) => one !== undefined);
  // The same right elsewhere, where nobody would hear that this node has used it.
  const [[peer, disk] = []] = peers.size === 1 ? [...peers] : [];
  if (disk?.role === 'stopped' && disk.owner === peer && (disk.sync === 'solo' || disk.sync === 'clean'))
    return null;
  if (known.some((one) => one.role === 'primary' || isNewer(one, durable, me))) return null;
  const isNewest = known.every(({ generation }) => generation < durable.generation);
  return iAmOwner || isNewest ? 10 : 5;
}

/** Whether what another disk speaks of is newer than ours: also the guest that we have handed over, in the same generation. */
export function isNewer(other: DiskWord, { generation, sync, owner }: DurableState, me: string): boolean {
  if (other.generation !== generation) return other.generation > generation;
  return owner === me && sync === 'outdated' && other.sync !== 'outdated';
}
