import { AgentError } from '../common/error.js';
import type { ResourcePaths } from '../common/paths.js';
import { isAlive, type ProcessIdentity } from '../common/process-identity.js';
import { findProcesses, type ProcessRecord } from '../supervise/process-record.js';
import { wasStarted } from './context.js';

/** Processes of a resource that has no run folder: somebody has taken it away under them. */
export async function straysOf(paths: ResourcePaths): Promise<readonly ProcessIdentity[]> {
  const found = await findProcesses(paths);
  // A start may have made the folder meanwhile: its processes are where they belong.
  return wasStarted(paths) ? [] : found;
}

export function strayReason(paths: ResourcePaths, strays: readonly ProcessIdentity[]): string {
  const pids = strays.map(({ pid }) => pid).join(', ');
  return `${paths.resource} runs here (process ${pids}), but its folder ${paths.run_dir} has vanished: only a stop can end it`;
}

/** Whether there is an engine: a record that does not name it, or cannot be read, says nothing of that. */
export async function engineLives(paths: ResourcePaths, { engine }: ProcessRecord): Promise<boolean> {
  return engine ? isAlive(engine) : (await findProcesses(paths, 'engine')).length > 0;
}

/** What an action that needs the run folder says without one: nothing runs, or what runs cannot be spoken to. */
export async function absenceError(paths: ResourcePaths, toDo = ''): Promise<AgentError> {
  const strays = await straysOf(paths);
  return strays.length > 0
    ? new AgentError('engine-failed', strayReason(paths, strays))
    : new AgentError('not-running', `${paths.resource} does not run on this node${toDo}`);
}
