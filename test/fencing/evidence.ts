// What fencing decisions are made from: a frozen primary n1 whose secondary is n2, and what may differ from that.
import type { Claim } from '../../src/pacemaker/claim.js';
import type { ClusterView, NodeView } from '../../src/pacemaker/cluster-view.js';
import type { EngineEvidence, Evidence } from '../../src/fencing/evidence.js';

export const LIFE = '0d6c2a54-88c3-4a5e-9e5a-3d1f0c2b7a11';
export const OTHER_LIFE = '8b0f2c8e-1111-4222-8333-444455556666';
export const GENERATION = 7;

export const online: NodeView = { membership: 'online', maintenance: false, role: 'unpromoted' };
export const down: NodeView = { membership: 'down', maintenance: false, role: 'unclear' };
export const unclear: NodeView = { membership: 'unclear', maintenance: false, role: 'unclear' };

export function claimOf(owner: string, generation: number, engine_id = LIFE): Claim {
  return { owner, generation, engine_id };
}

export function cluster(change: Partial<ClusterView> = {}, peer: NodeView = online): ClusterView {
  return {
    quorate: true,
    dc: 'n1',
    fencing: true,
    managed: true,
    target: 'vm1-clone',
    claim: undefined,
    nodes: new Map([
      ['n1', { ...online, role: 'promoted' }],
      ['n2', peer],
    ]),
    ...change,
  };
}

export function engine(change: Partial<EngineEvidence> = {}): EngineEvidence {
  return {
    engine_id: LIFE,
    role: 'primary',
    state: 'frozen',
    generation: GENERATION,
    connected: false,
    linkless_ms: 10_000,
    ...change,
  };
}

/** Of the primary n1. */
export function frozen(change: Partial<Evidence> = {}): Evidence {
  return {
    me: 'n1',
    peers: ['n2'],
    holder: 'n2',
    engine: engine(),
    disk: { generation: GENERATION, owner: 'n1', outdated_through: 0, writable: true },
    quorate: true,
    cluster: cluster(),
    asks: new Map(),
    words: new Map(),
    farewell: undefined,
    confirmed: undefined,
    allow_unfenced: false,
    ...change,
  };
}

/** Of the secondary n2 with a complete replica, whose primary n1 has been fenced. */
export function replica(change: Partial<Evidence> = {}): Evidence {
  return frozen({
    me: 'n2',
    peers: ['n1'],
    holder: undefined,
    engine: engine({ engine_id: OTHER_LIFE, role: 'secondary', state: 'in-sync' }),
    disk: { generation: GENERATION, owner: 'n1', outdated_through: 0, writable: true },
    cluster: cluster({
      nodes: new Map([
        ['n1', down],
        ['n2', online],
      ]),
    }),
    ...change,
  });
}
