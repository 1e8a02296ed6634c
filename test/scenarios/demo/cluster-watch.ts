// Follows a node's cluster logs and calls out what matters in a failover, as it happens.
import { createInterface } from 'node:readline';
import type { Lab } from '../../lab/lab.js';

const LOGS = ['/var/log/corosync/corosync.log', '/var/log/pacemaker/pacemaker.log'];

const SIGNS: readonly (readonly [RegExp, string])[] = [
  [/A processor failed, forming/, 'Corosync: the token is lost, a host does not answer'],
  [/A new membership/, 'Corosync: new membership'],
  [/Requesting fencing \(\w+\)/, 'Pacemaker: asks for fencing'],
  [/was terminated/, 'Pacemaker: the lost host is fenced, nothing of it runs'],
  [/Initiating demote operation (?!.*notify)/, 'Pacemaker: demotes'],
  [/Initiating promote operation (?!.*notify)/, 'Pacemaker: promotes the replica'],
  [/Result of promote operation .*: ok/, 'Pacemaker: promoted'],
];

/** Starts calling `report` with each sign; once per kind of sign. */
export async function watchCluster(
  lab: Lab,
  node: string,
  report: (text: string) => void,
): Promise<() => void> {
  const { child } = await lab.node(node).start(['tail', '-q', '-n0', '-F', ...LOGS]);
  const seen = new Set<string>();
  let stopped = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    for (const [sign, text] of SIGNS) {
      if (stopped || seen.has(text) || !sign.test(line)) continue;
      seen.add(text);
      report(text);
    }
  });
  // tail itself ends with its node or the lab.
  return () => {
    stopped = true;
  };
}
