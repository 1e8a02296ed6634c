import { tool } from './tools.js';

/** What the controller is at when nothing is due anywhere in the cluster. */
export const IDLE = 'S_IDLE';

/**
 * What the designated controller is at, as Pacemaker names it; every 1.1, 2.x and 3.x prints the word in a sentence of its own.
 * @returns undefined if it does not say, or if there is none.
 */
export async function controllerState(): Promise<string | undefined> {
  const looked = await tool('crmadmin', ['--dc_lookup']).catch(() => '');
  const [, controller] = /(?:^|: )(\S+)\s*$/.exec(looked.trim()) ?? [];
  if (controller === undefined) return undefined;
  const asked = await tool('crmadmin', ['--status', controller]).catch(() => '');
  return /\bS_[A-Z_]+\b/.exec(asked)?.[0];
}

/**
 * Has Pacemaker take the resource's instance on a node for failed, as a monitor would. It records an operation `asyncmon`, with code
 * 1, "Simulated failure" for a reason, counts it in the instance's fail-count, and interrupts the transition that is under way:
 * what has begun ends, the rest is decided anew. No on-fail of the configuration is for it: an instance that is not promoted
 * is stopped and started, and a promoted one too, before anything is promoted elsewhere (crm_simulate, 2.1.5).
 * @throws AgentError when the cluster on this node does not take it
 */
export async function reportFailure(resource: string, node: string): Promise<void> {
  await tool('crm_resource', ['--fail', '--resource', resource, '--node', node]);
}
