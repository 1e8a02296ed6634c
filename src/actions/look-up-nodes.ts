import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError, messageOf, systemCodeOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { SyncAddress, SyncAddresses } from '../pacemaker/parameter-kinds.js';

/** Host name to address, as this host sees it: /etc/hosts, then DNS. */
type LookUp = (name: string) => Promise<{ readonly address: string }>;

/** As ocf:heartbeat:VirtualDomain makes the names of its migration network: before the first period, if there is one. */
export function hostNameOf(node: string, suffix: string): string {
  return node.replace(/^[^.]+/, (first) => `${first}${suffix}`);
}

/**
 * The addresses of the nodes' host names on the sync network. Bounded: a name server that is down must not hold up a start for
 * longer than that.
 *
 * @throws AgentError bad-config: a name has no address here, or one that no other node can reach
 */
export async function lookUpNodes(
  nodes: readonly string[],
  suffix: string,
  lookUp: LookUp = lookup,
  boundMs: number = limits.look_up_ms,
): Promise<SyncAddresses> {
  const found = nodes.map(async (node): Promise<[string, SyncAddress]> => {
    const name = hostNameOf(node, suffix);
    const complain = (what: string, cause?: unknown): AgentError =>
      new AgentError(
        'bad-config',
        `the host name ${name} (node ${node}, parameter migration_network_suffix) ${what}: put it into /etc/hosts on each node`,
        { cause },
      );
    const answer = await Promise.race([
      lookUp(name).catch((error: unknown) => {
        throw complain(`cannot be looked up here (${systemCodeOf(error) ?? messageOf(error)})`, error);
      }),
      sleep(boundMs, undefined, { ref: false }),
    ]);
    if (answer === undefined) throw complain(`was looked up for ${boundMs} ms in vain`);
    if (isLoopback(answer.address)) throw complain(`is ${answer.address}, which only this host can reach`);
    return [node, { address: answer.address, port: undefined }];
  });
  // All are waited for: of several without an address the first one is named, whichever was refused first.
  const settled = await Promise.allSettled(found);
  return new Map(
    settled.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    }),
  );
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
