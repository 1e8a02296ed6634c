import { execa } from 'execa';
import { AgentError, quote } from '../common/error.js';
import { limits } from '../common/limits.js';
import { attributesOfNodes, isUnfenced, namesOfNodes, parseCib } from './cib.js';

/** Pacemaker's command line tools, each call bounded: a cluster in trouble must not hold up the guest's supervisor. */
export async function tool(name: string, args: readonly string[]): Promise<string> {
  const result = await execa(name, args, {
    reject: false,
    stdin: 'ignore',
    // With it attrd_updater asks for this node alone, whatever its arguments say.
    env: { OCF_RESKEY_CRM_meta_on_node: undefined },
    timeout: limits.cluster_tool_ms,
    killSignal: 'SIGKILL',
    maxBuffer: limits.record_bytes,
  });
  if (result.failed) {
    const why = result.timedOut ? `did not answer within ${limits.cluster_tool_ms} ms` : result.shortMessage;
    throw new AgentError('missing-requirement', `${name} failed: ${why} ${result.stderr}`.trim(), {
      cause: result.cause,
    });
  }
  return result.stdout;
}

/** @throws AgentError when the cluster on this node does not say. */
export async function nodeName(): Promise<string> {
  return readNodeName(await tool('crm_node', ['-n']));
}

/** @throws AgentError when this is no name that could be handed on to a program or a file. */
export function readNodeName(output: string): string {
  const name = output.trim();
  if (name === '')
    throw new AgentError('missing-requirement', 'crm_node -n printed no name: is Pacemaker running?');
  if (/\p{Cc}/u.test(name))
    throw new AgentError('missing-requirement', `crm_node -n printed what is no name: ${quote(name)}`);
  return name;
}

/** A permanent node attribute, by node. @throws AgentError when the cluster on this node does not say. */
export async function nodeAttributes(name: string): Promise<Map<string, string>> {
  const section = await tool('cibadmin', ['--query', '--scope', 'nodes']);
  return attributesOfNodes(parseCib(section), name);
}

/** All nodes of the cluster. @throws AgentError when the cluster on this node does not say. */
export async function nodeNames(): Promise<readonly string[]> {
  return namesOfNodes(parseCib(await tool('cibadmin', ['--query', '--scope', 'nodes'])));
}

/** Whether fencing is turned off in this cluster. @throws AgentError when the cluster on this node does not say. */
export async function fencingIsOff(): Promise<boolean> {
  return isUnfenced(parseCib(await tool('cibadmin', ['--query', '--scope', 'crm_config'])));
}

/** A utilization attribute of a resource; written only if it is another one. @throws AgentError when the cluster does not take it. */
export async function setUtilization(resource: string, name: string, value: string): Promise<void> {
  const which = ['--resource', resource, '--utilization'];
  const now = await tool('crm_resource', [...which, '--get-parameter', name]).catch(() => '');
  if (now.trim() === value) return;
  // Without --force it would be written to the clone, which may not have any.
  await tool('crm_resource', [...which, '--force', '--set-parameter', name, '--parameter-value', value]);
}

/** Quorum, as this node sees it now. No answer is no quorum. */
export async function hasQuorum(): Promise<boolean> {
  try {
    return (await tool('crm_node', ['-q'])).trim() === '1';
  } catch {
    return false;
  }
}

/**
 * A transient node attribute (attrd keeps it in memory and in the CIB's status; it dies with the node's membership).
 * `master-NAME` is the promotion score of resource NAME in every Pacemaker since 1.0, 3.x included.
 */
export async function setAttribute(name: string, node: string, value: string): Promise<void> {
  await tool('attrd_updater', ['-n', name, '-N', node, '-U', value]);
}

/** The same of one that nobody waits for: a few seconds later, so that a failover has no second write of the CIB in it. */
export async function setDampenedAttribute(name: string, node: string, value: string): Promise<void> {
  await tool('attrd_updater', ['-n', name, '-N', node, '-B', value, '-d', '3s']);
}

/** A private one: shared between the nodes' attrd, never in the CIB, so a change of it aborts no transition. */
export async function setPrivateAttribute(name: string, node: string, value: string): Promise<void> {
  await tool('attrd_updater', ['-p', '-n', name, '-N', node, '-U', value]);
}

/** An attribute that does not exist is deleted with success. */
export async function deleteAttribute(name: string, node: string): Promise<void> {
  await tool('attrd_updater', ['-n', name, '-N', node, '-D']);
}

/** @returns undefined when the node has no such attribute, or is not in the cluster now. */
export async function queryAttribute(name: string, node: string): Promise<string | undefined> {
  let output: string;
  try {
    output = await tool('attrd_updater', ['-n', name, '-N', node, '-Q']);
  } catch {
    return undefined;
  }
  return readAttributes(output).get(node);
}

/** The same of all nodes that are in the cluster now; none when the cluster on this node does not say. */
export async function queryAttributes(name: string): Promise<ReadonlyMap<string, string>> {
  return readAttributes(await tool('attrd_updater', ['-n', name, '-A', '-Q']).catch(() => ''));
}

/** What `attrd_updater -Q` says, by node. */
export function readAttributes(output: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [, node, value] = /host="([^"]*)" value="([^"]*)"/.exec(line) ?? [];
    if (node !== undefined && value !== undefined && value !== '') found.set(node, value);
  }
  return found;
}
