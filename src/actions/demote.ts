import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { limits } from '../common/limits.js';
import type { Environment } from '../common/paths.js';
import { askSupervisor } from '../supervise/client.js';
import { absenceError } from './absence.js';
import { endHungSupervisor, reviveSupervisor } from './await-supervisor.js';
import { contextOf, wasStarted } from './context.js';
import { isForced } from './force-stop.js';

/** A guest that is dead is demoted: saying so is what lets Pacemaker promote the other node at once. */
export async function demote(env: Environment): Promise<number> {
  const { paths } = contextOf(env);
  if (!wasStarted(paths)) throw await absenceError(paths);
  const deadline = Date.now() + actionBudget(env);
  try {
    await askSupervisor(paths.supervisor_socket, { command: 'ping' }, limits.ping_ms);
  } catch (error) {
    await endHungSupervisor(paths, error);
    await reviveSupervisor(paths, env, deadline - Date.now());
  }
  const left = deadline - Date.now();
  const engineBudget = Math.max(Math.floor(left - limits.action_margin_ms), 1);
  const shutdown_ms = isForced(env)
    ? 0
    : Math.max(engineBudget - limits.end_guest_reserve_ms, Math.floor(engineBudget / 2));
  const order = { command: 'demote', timeout_ms: engineBudget, shutdown_ms } as const;
  await askSupervisor(paths.supervisor_socket, order, left);
  return exitCode.ok;
}
