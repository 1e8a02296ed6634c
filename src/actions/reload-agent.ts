import { tuningOf } from '../config/engine-spec.js';
import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { readParameters } from '../pacemaker/parameters.js';
import type { Environment } from '../common/paths.js';
import { askSupervisor } from '../supervise/client.js';
import { absenceError } from './absence.js';
import { reviveSupervisor } from './await-supervisor.js';
import { contextOf, wasStarted } from './context.js';

/** Other values of reloadable parameters: the guest runs on, and takes them as they are. */
export async function reloadAgent(env: Environment): Promise<number> {
  const values = readParameters(env);
  const { paths } = contextOf(env);
  if (!wasStarted(paths)) throw await absenceError(paths);
  const deadline = Date.now() + actionBudget(env);
  await reviveSupervisor(paths, env, deadline - Date.now());
  const { log_level } = values;
  const order = { command: 'reload', tuning: tuningOf(values), log_level } as const;
  await askSupervisor(paths.supervisor_socket, order, deadline - Date.now());
  return exitCode.ok;
}
