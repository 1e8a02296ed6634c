import { rm } from 'node:fs/promises';
import { deleteAttribute } from '../pacemaker/tools.js';
import { limits } from '../common/limits.js';
import type { ResourcePaths } from '../common/paths.js';
import { isAlive, killAndWait, type ProcessIdentity } from '../common/process-identity.js';
import { scoreAttribute } from './disk-word.js';
import { childrenOf, findProcesses, readProcessRecord } from './process-record.js';
import { survivorError } from './survivor-error.js';

/** Everybody who belongs to the resource on this node: as recorded, as found by arguments, and the engine's children. */
export async function allProcesses(paths: ResourcePaths): Promise<readonly ProcessIdentity[]> {
  const { supervisor, engine, qemu } = await readProcessRecord(paths);
  const recorded = [supervisor, engine, qemu].filter((one) => one !== undefined).filter(isAlive);
  const known = [...recorded, ...(await findProcesses(paths))];
  const children = (await Promise.all(known.map(({ pid }) => childrenOf(pid)))).flat();
  const byPid = new Map([...known, ...children].map((one) => [one.pid, one]));
  // A supervisor's short-lived tools are its children too; a tool of this very process is not.
  byPid.delete(process.pid);
  return [...byPid.values()];
}

/**
 * Ends what is left by SIGKILL and takes its traces away. Needs no config, no program and no answer from anybody.
 * @throws AgentError survivor, of those that are left when the time is over: then the node must be fenced, because the guest may
 *   still run
 */
export async function sweep(
  paths: ResourcePaths,
  node: string | undefined,
  deadline: number = Date.now() + limits.kill_ms,
): Promise<void> {
  // Again until nobody is found: an engine may just have brought its supervisor back.
  for (let found = await allProcesses(paths); found.length > 0; found = await allProcesses(paths)) {
    const left = Math.max(deadline - Date.now(), limits.kill_least_ms);
    const survivors = await killAndWait(found, Math.min(limits.kill_ms, left));
    if (survivors.length > 0) throw survivorError(paths.resource, survivors);
  }
  await rm(paths.run_dir, { recursive: true, force: true });
  if (node !== undefined) {
    // It is gone with the node if attrd cannot be reached; a stop must not fail for it.
    await deleteAttribute(scoreAttribute(paths.resource), node).catch(() => undefined);
  }
}
