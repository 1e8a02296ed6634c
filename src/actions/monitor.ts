import { actionBudget, checkLevel, isRecurring } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { writeExitReason } from '../pacemaker/exit-reason.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { supervisorStatus, type SupervisorStatus } from '../supervise/client.js';
import { contextOf, wasStarted } from './context.js';

interface Verdict {
  readonly code: number;
  readonly recurring: number;
  readonly reason?: string | null | undefined;
}

/** Who answered, if it was the supervisor; only then more can be asked. */
interface Look extends Verdict {
  readonly status?: SupervisorStatus;
}

const SOUND: readonly number[] = [exitCode.ok, exitCode.promoted];

/** Runs every few seconds for years: it loads nothing that it does not need, and asks one question of one socket. */
export async function monitor(env: Environment): Promise<number> {
  const { paths } = contextOf(env);
  if (!wasStarted(paths)) {
    // A probe, as on every node before anything is started.
    if (!isRecurring(env)) await (await import('./tell-disk.js')).tellDisk(paths, env);
    return exitCode.not_running;
  }
  const deadline = Date.now() + actionBudget(env);
  const level = checkLevel(env);
  const seen = await look(paths, env);
  let verdict: Verdict = seen;
  if (level >= 10 && seen.status && SOUND.includes(seen.code)) {
    const { lookDeeper } = await import('./monitor-deeper.js');
    const found = await lookDeeper({ env, paths, level, deadline }, seen.status).catch(() => undefined);
    // A failure of what has been demoted or stopped meanwhile is none.
    if (found && SOUND.includes(found.code)) verdict = found;
    else {
      const again = await look(paths, env);
      verdict = found && again.code === seen.code ? found : again;
    }
  }
  const code = isRecurring(env) ? verdict.recurring : verdict.code;
  const healthy = code === exitCode.ok || code === exitCode.promoted || code === exitCode.not_running;
  if (!healthy && verdict.reason) writeExitReason(verdict.reason);
  return code;
}

async function look(paths: ResourcePaths, env: Environment): Promise<Look> {
  const budget = Math.min(actionBudget(env), limits.monitor_ms);
  try {
    const status = await supervisorStatus(paths.supervisor_socket, budget);
    return { ...status.monitor, status };
  } catch (error) {
    const { monitorAlone } = await import('./monitor-alone.js');
    return await monitorAlone(paths, env, error);
  }
}
