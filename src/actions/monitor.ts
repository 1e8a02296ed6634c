import { actionBudget, isRecurring } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { writeExitReason } from '../pacemaker/exit-reason.js';
import { limits } from '../common/limits.js';
import type { Environment } from '../common/paths.js';
import { supervisorStatus } from '../supervise/client.js';
import { contextOf, wasStarted } from './context.js';

/** Runs every few seconds for years: it loads nothing that it does not need, and asks one question of one socket. */
export async function monitor(env: Environment): Promise<number> {
  const { paths } = contextOf(env);
  if (!wasStarted(paths)) {
    // A probe, as on every node before anything is started.
    if (!isRecurring(env)) await (await import('./tell-disk.js')).tellDisk(paths, env);
    return exitCode.not_running;
  }
  const budget = Math.min(actionBudget(env), limits.monitor_ms);
  let verdict;
  try {
    verdict = (await supervisorStatus(paths.supervisor_socket, budget)).monitor;
  } catch (error) {
    const { monitorAlone } = await import('./monitor-alone.js');
    verdict = await monitorAlone(paths, env, error);
  }
  const code = isRecurring(env) ? verdict.recurring : verdict.code;
  const healthy = code === exitCode.ok || code === exitCode.promoted || code === exitCode.not_running;
  if (!healthy && verdict.reason) writeExitReason(verdict.reason);
  return code;
}
