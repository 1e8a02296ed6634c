import { AgentError } from '../common/error.js';
import type { SyncAddresses } from '../pacemaker/parameter-kinds.js';

interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** The two ends of the sync link of a node. */
export interface SyncEnds {
  readonly listen: Endpoint;
  readonly peer: Endpoint & { readonly node: string };
}

/** @throws AgentError bad-parameter: the addresses do not name this node, or not just one other. */
export function syncEnds(addresses: SyncAddresses, port: number, node: string): SyncEnds {
  const endpoint = (name: string): Endpoint | undefined => {
    const found = addresses.get(name);
    return found && { address: found.address, port: found.port ?? port };
  };
  const names = [...addresses.keys()];
  const listen = endpoint(node);
  if (!listen) {
    throw new AgentError(
      'bad-config',
      `parameter sync_address names ${names.join(' and ')}, but this node is ${node}: use the names that crm_node -l shows`,
    );
  }
  const [other, ...more] = names.filter((name) => name !== node);
  const peer = other === undefined ? undefined : endpoint(other);
  if (other === undefined || !peer || more.length > 0) {
    throw new AgentError(
      'bad-config',
      `parameter sync_address names ${names.length} nodes: a VM is kept on two in this version`,
    );
  }
  return { listen, peer: { node: other, ...peer } };
}
