import { toAgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { actionBudget, checkLevel } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { supervisorStatus, type SupervisorStatus } from '../supervise/client.js';
import { contextOf } from './context.js';
import { verdictAlone } from './monitor-alone.js';
import { lookDeeper } from './monitor-deeper.js';
import { tellFinding, type Finding } from './monitor.js';

/** Who answered, if it was the supervisor; only then more can be asked. */
interface Look extends Finding {
  readonly status?: SupervisorStatus;
}

const SOUND: readonly number[] = [exitCode.ok, exitCode.promoted];

/** Monitor at a level that looks deeper than at the engine. */
export async function monitorDeeply(env: Environment): Promise<number> {
  const { paths } = contextOf(env);
  const deadline = Date.now() + actionBudget(env);
  const level = checkLevel(env);
  const seen = await look(paths, env);
  if (!seen.status || !SOUND.includes(seen.code)) return tellFinding(seen, env);
  const found = await lookDeeper({ env, paths, level, deadline }, seen.status).catch(() => undefined);
  // A failure of what has been demoted or stopped meanwhile is none.
  if (found && SOUND.includes(found.code)) return tellFinding(found, env);
  const again = await look(paths, env);
  return tellFinding(found && again.code === seen.code ? found : again, env);
}

async function look(paths: ResourcePaths, env: Environment): Promise<Look> {
  const budget = Math.min(actionBudget(env), limits.monitor_ms);
  try {
    const status = await supervisorStatus(paths.supervisor_socket, budget);
    return { ...status.monitor, status };
  } catch (error) {
    const { code, message } = toAgentError(error, 'engine-failed');
    return await verdictAlone(paths, env, { code, message });
  }
}
