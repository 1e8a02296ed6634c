import { AgentError } from '../common/error.js';
import type { SyncAddresses } from '../pacemaker/parameter-kinds.js';

/** The engine takes no more: a cluster of Corosync has 32 nodes at most. */
const PEERS_MAX = 31;

interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Where a node waits for the others, and where they wait for it. */
export interface SyncEnds {
  readonly listen: Endpoint;
  readonly peers: readonly (Endpoint & { readonly node: string })[];
}

/** Where the nodes are, and who says so, as a part of a sentence. */
export interface KnownAddresses {
  readonly addresses: SyncAddresses;
  readonly from: string;
}

/** @throws AgentError bad-config: the addresses do not name this node and others, each at an address of its own. */
export function syncEnds({ addresses, from }: KnownAddresses, port: number, node: string): SyncEnds {
  const endpoint = (name: string): Endpoint | undefined => {
    const found = addresses.get(name);
    return found && { address: found.address, port: found.port ?? port };
  };
  const names = [...addresses.keys()];
  const listen = endpoint(node);
  if (!listen) {
    throw new AgentError(
      'bad-config',
      `${from} names ${names.join(' and ')}, but this node is ${node}: use the names that crm_node -l shows`,
    );
  }
  const peers = names
    .filter((name) => name !== node)
    .flatMap((name) => {
      const end = endpoint(name);
      return end ? [{ node: name, ...end }] : [];
    });
  const all = [{ node, ...listen }, ...peers];
  const where = ({ address, port }: Endpoint) => `${address} ${port}`;
  for (const [index, one] of all.entries()) {
    const same = all.slice(0, index).find((other) => where(other) === where(one));
    if (!same) continue;
    throw new AgentError(
      'bad-config',
      `${same.node} and ${one.node} have the same sync address ${one.address}, port ${one.port}: give each node its own`,
    );
  }
  if (peers.length === 0) {
    throw new AgentError(
      'bad-config',
      `only ${node} has a sync address: name at least one other node, which takes the replica`,
    );
  }
  if (peers.length > PEERS_MAX) {
    throw new AgentError(
      'bad-config',
      `${names.length} nodes have a sync address: ${PEERS_MAX + 1} at most are possible`,
    );
  }
  return { listen, peers };
}
