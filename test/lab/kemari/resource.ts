// The resource in Pacemaker: the commands that an operator types.
import type { Lab } from '../lab.js';
import { promotedNode, unpromotedNodes } from '../cluster-status.js';
import { waitFor } from '../wait-for.js';
import { nodeAddress, nodeNumber } from '../networks.js';
import { domainPath } from './domain.js';

/** Parameters of the agent, beside those that it must have. */
export type Parameters = Readonly<Record<string, string>>;

/** Where the description and the addresses of this lab are. */
export function neededParameters(lab: Lab, resource: string): Parameters {
  const addresses = lab.nodes.map((node) => `${node}:${nodeAddress('sync', nodeNumber(node))}`);
  return { config: domainPath(resource), sync_address: addresses.join(';') };
}

/** `pcs resource create`, word by word, with what ocf/examples/create.sh proposes for failures. */
export function createCommand(
  lab: Lab,
  resource: string,
  parameters: Parameters = {},
  monitor_s: readonly [promoted: number, unpromoted: number] = [5, 6],
): string[] {
  const given = { ...neededParameters(lab, resource), ...parameters };
  return [
    ...['pcs', 'resource', 'create', resource, 'ocf:kemari:vm'],
    ...Object.entries(given).flatMap(([name, value]) => (value === '' ? [] : [`${name}=${value}`])),
    ...[
      'op',
      'start',
      'timeout=120s',
      'promote',
      'timeout=60s',
      'on-fail=demote',
      'demote',
      'timeout=120s',
      'stop',
      'timeout=120s',
    ],
    ...['monitor', `interval=${monitor_s[0]}s`, 'role=Promoted', 'timeout=20s', 'on-fail=demote'],
    ...['monitor', `interval=${monitor_s[1]}s`, 'role=Unpromoted', 'timeout=20s'],
    ...['promotable', 'promoted-max=1', 'clone-max=2', 'notify=false'],
  ];
}

/** The planned move. pcs takes its constraint away again when the resource is there. */
export function moveCommand(resource: string, node: string): string[] {
  return ['pcs', 'resource', 'move', `${resource}-clone`, node, '--promoted'];
}

/** Waits until the resource is Promoted on one node and Unpromoted on another; returns the promoted one's name. */
export function waitUntilPlaced(
  lab: Lab,
  observer: string,
  resource: string,
  timeout_ms = 60_000,
): Promise<string> {
  return waitFor(
    `${resource} to run on two nodes`,
    async () => {
      const status = await lab.status(observer);
      const promoted = promotedNode(status, resource);
      return unpromotedNodes(status, resource).length === 1 && promoted;
    },
    { timeout_ms },
  );
}
