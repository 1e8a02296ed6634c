import type { EngineRole, EngineState } from '../engine/messages.js';
import type { DiskWord } from './disk-word.js';
import type { DurableState } from './durable-state.js';

export interface ScoreEvidence {
  readonly me: string;
  /** undefined: no engine, or it is lost. */
  readonly engine: { readonly role: EngineRole; readonly state: EngineState } | undefined;
  readonly durable: DurableState;
  /** undefined: the other node is away, or its supervisor has not spoken. */
  readonly peer_disk: DiskWord | undefined;
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

function scoreOf({ me, engine, durable, peer_disk }: ScoreEvidence): Score {
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
      return coldStartScore(me, durable, peer_disk);
  }
}

/** A cold start needs proof that no newer guest exists: either the other disk is seen, or ours says it. */
function coldStartScore(me: string, durable: DurableState, peer: DiskWord | undefined): Score {
  const iAmOwner = durable.owner === me;
  if (!peer) return iAmOwner && (durable.sync === 'solo' || durable.sync === 'clean') ? 10 : null;
  if (peer.role === 'primary') return null;
  if (durable.generation !== peer.generation) return durable.generation > peer.generation ? 10 : null;
  return iAmOwner ? 10 : 5;
}
