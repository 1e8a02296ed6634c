import { withEngine } from '../engine/client.js';
import { AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { isAlive } from '../common/process-identity.js';
import { decideMonitor, type MonitorVerdict } from '../supervise/decide-monitor.js';
import { readProcessRecord } from '../supervise/process-record.js';
import { endHungSupervisor } from './await-supervisor.js';
import { contextOf } from './context.js';
import { tellDisk } from './tell-disk.js';
import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { tellFinding, type NoAnswer } from './monitor.js';
import { startSupervisor } from '../supervise/start-supervisor.js';

/** Monitor without an answer from the supervisor: the engine is asked, and a new supervisor started. */
export async function monitorAlone(env: Environment, why: NoAnswer): Promise<number> {
  return tellFinding(await verdictAlone(contextOf(env).paths, env, why), env);
}

/** As on every node before anything is started: what the disk says is told. */
export async function probeStopped(env: Environment): Promise<number> {
  await tellDisk(contextOf(env).paths, env, 'probe', Date.now() + actionBudget(env));
  return exitCode.not_running;
}

export async function verdictAlone(
  paths: ResourcePaths,
  env: Environment,
  why: NoAnswer,
): Promise<MonitorVerdict> {
  const record = await readProcessRecord(paths);
  const engineLives = record.engine !== undefined && isAlive(record.engine);
  if (!engineLives) {
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
