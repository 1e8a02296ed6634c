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

/** When a line was written: Corosync and Pacemaker stamp it with ms, without a year, in the host's local time. */
function stamp_ms(line: string): number {
  const match = /^(\w{3} +\d+) (\d\d:\d\d:\d\d\.\d+)/.exec(line);
  return match ? Date.parse(`${match[1] ?? ''} ${new Date().getFullYear()} ${match[2] ?? ''}`) : NaN;
}

/** Starts calling `report` with each sign and its time; once per kind of sign. */
export async function watchCluster(
  lab: Lab,
  node: string,
  report: (text: string, time_ms: number) => void,
): Promise<() => void> {
  // tail looks for itself, and often: on overlayfs nobody tells it of changes.
  const { child } = await lab.node(node).start(['tail', '-q', '-n0', '-s0.05', '-F', ...LOGS]);
  const seen = new Set<string>();
  let stopped = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    for (const [sign, text] of SIGNS) {
      if (stopped || seen.has(text) || !sign.test(line)) continue;
      seen.add(text);
      report(text, stamp_ms(line));
    }
  });
  // tail itself ends with its node or the lab.
  return () => {
    stopped = true;
  };
}
