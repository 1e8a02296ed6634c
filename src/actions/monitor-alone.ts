import { withEngine } from '../engine/client.js';
import { AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import { isAlive } from '../common/process-identity.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { decideMonitor, type MonitorVerdict } from '../supervise/decide-monitor.js';
import { readProcessRecord } from '../supervise/process-record.js';
import { engineLives, straysOf, strayReason } from './absence.js';
import { endHungSupervisor } from './await-supervisor.js';
import { contextOf, pathsIfStartable } from './context.js';
import { readState } from './state-process.js';
import { tellDisk } from './tell-disk.js';
import { actionBudget, isRecurring, resourceName } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { tellFinding, type NoAnswer } from './monitor.js';
import { startSupervisor } from '../supervise/start-supervisor.js';

/** Monitor without an answer from the supervisor: the engine is asked, and a new supervisor started. */
export async function monitorAlone(env: Environment, why: NoAnswer): Promise<number> {
  return tellFinding(await verdictAlone(contextOf(env).paths, env, why), env);
}

/**
 * Without a run folder: as on every node before anything is started. A probe tells what the disk says. But who has only lost its
 * folder still runs.
 */
export async function monitorUnstarted(env: Environment): Promise<number> {
  const paths = pathsIfStartable(env);
  const deadline = Date.now() + actionBudget(env);
  const strays = paths ? await straysOf(paths) : [];
  if (paths && strays.length > 0) {
    const durable = await readState(paths.resource, env, deadline - Date.now()).catch(() => undefined);
    const code = durable?.role === 'primary' ? exitCode.failed_promoted : exitCode.generic;
    return tellFinding({ code, recurring: code, reason: strayReason(paths, strays) }, env);
  }
  const code = exitCode.not_running;
  const reason = `nothing of ${resourceName(env)} runs on this node`;
  if (paths && !isRecurring(env)) await tellDisk(paths, env, 'probe', deadline);
  return tellFinding({ code, recurring: code, reason }, env);
}

export async function verdictAlone(
  paths: ResourcePaths,
  env: Environment,
  why: NoAnswer,
): Promise<MonitorVerdict> {
  const record = await readProcessRecord(paths);
  if (!(await engineLives(paths, record))) {
    const { qemu } = record;
    if (qemu && isAlive(qemu)) {
      const code = record.promoted ? exitCode.failed_promoted : exitCode.generic;
      return {
        code,
        recurring: code,
        reason: `QEMU (process ${qemu.pid}) has outlived engine and supervisor`,
      };
    }
    return decideMonitor({
      phase: 'lost',
      engine: undefined,
      was_promoted: record.promoted,
      failure: `engine and supervisor have ended (${why.message})`,
    });
  }
  const status = await withEngine(paths.engine_socket, (engine) => engine.status()).catch(() => undefined);
  await endHungSupervisor(paths, new AgentError(why.code, why.message));
  await startSupervisor(paths, env).catch(() => undefined);
  return decideMonitor({
    phase: 'running',
    engine: status,
    was_promoted: record.promoted,
    failure: `neither the supervisor nor the engine answers within ${limits.status_ms} ms`,
  });
}
