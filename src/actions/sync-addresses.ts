import { AgentError } from '../common/error.js';
import { parseSyncAddress, type SyncAddress, type SyncAddresses } from '../pacemaker/parameter-kinds.js';
import type { ParameterValues } from '../pacemaker/parameters.js';
import { nodeAttributes, nodeNames } from '../pacemaker/tools.js';
import type { KnownAddresses } from '../config/sync-ends.js';
import { lookUpNodes } from './look-up-nodes.js';

/** Of a node: the address at which the other nodes reach it for checkpoints. */
export const SYNC_ADDRESS_ATTRIBUTE = 'kemari-sync-address';

/**
 * The nodes' addresses on the sync network: the parameter's, or those of host names that are made of the nodes', or else the
 * nodes' own attributes.
 *
 * @throws AgentError bad-config: there are none, or one that is no address. Whatever the tools of the cluster throw.
 */
export async function addressesOf(values: ParameterValues): Promise<KnownAddresses> {
  const { sync_address, migration_network_suffix: suffix } = values;
  if (sync_address) return { addresses: sync_address, from: 'parameter sync_address' };
  if (suffix !== '')
    return {
      addresses: await lookUpNodes(await nodeNames(), suffix),
      from: 'the cluster, with parameter migration_network_suffix,',
    };
  return { addresses: await attributesOfAll(), from: `node attribute ${SYNC_ADDRESS_ATTRIBUTE}` };
}

/** The nodes alone: no name is looked up for that. @throws AgentError as `addressesOf` */
export async function nodesOf(values: ParameterValues): Promise<readonly string[]> {
  const { sync_address, migration_network_suffix: suffix } = values;
  if (sync_address) return [...sync_address.keys()];
  return suffix === '' ? [...(await attributesOfAll()).keys()] : await nodeNames();
}

async function attributesOfAll(): Promise<SyncAddresses> {
  const found = new Map<string, SyncAddress>();
  for (const [node, value] of await nodeAttributes(SYNC_ADDRESS_ATTRIBUTE)) {
    const address = parseSyncAddress(value);
    if (!address) {
      throw new AgentError(
        'bad-config',
        `node attribute ${SYNC_ADDRESS_ATTRIBUTE} of ${node} is "${value.slice(0, 80)}": write an address such as 10.0.0.1 or 10.0.0.1:7900`,
      );
    }
    found.set(node, address);
  }
  if (found.size < 2) {
    throw new AgentError(
      'bad-config',
      `parameter sync_address is missing, and ${found.size === 0 ? 'no node has' : `only ${[...found.keys()].join()} has`} the attribute ${SYNC_ADDRESS_ATTRIBUTE}: set one of them (pcs node attribute NODE ${SYNC_ADDRESS_ATTRIBUTE}=ADDRESS)`,
    );
  }
  return found;
}
