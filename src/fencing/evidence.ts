import type { ClusterView } from '../pacemaker/cluster-view.js';
import type { EngineRole, EngineState } from '../engine/messages.js';
import type { Words } from './words.js';

/** An engine as far as a decision about it goes. */
export interface EngineEvidence {
  readonly engine_id: string;
  readonly role: EngineRole;
  readonly state: EngineState;
  readonly generation: number;
  /** It has a connection to the other engine. */
  readonly connected: boolean;
  /** For how long it has had none, or none that helps. */
  readonly linkless_ms: number;
}

/** Everything that a decision is made from, as it was seen at one moment. */
export interface Evidence {
  readonly me: string;
  /** All other nodes that may have the guest or a replica. */
  readonly peers: readonly string[];
  /** Who has the replica of the guest that runs here, if that is known. */
  readonly holder: string | undefined;
  /** undefined: it is dead. */
  readonly engine: EngineEvidence | undefined;
  readonly disk: {
    readonly generation: number;
    readonly owner: string | null;
    readonly outdated_through: number;
    readonly writable: boolean;
  };
  /** As this node sees it now. */
  readonly quorate: boolean;
  /** undefined: nobody says, as without a DC. */
  readonly cluster: ClusterView | undefined;
  /** Who is asked to become outdated, and by whom. */
  readonly asks: Words;
  /** Who has said that it is. */
  readonly words: Words;
  /** The generation for which the secondary has said over the link, as its last word, that it is outdated. */
  readonly farewell: number | undefined;
  /** The generation for which a person has said at a terminal that the other node is down. */
  readonly confirmed: number | undefined;
  /** The resource may run in a cluster without fencing. */
  readonly allow_unfenced: boolean;
}
