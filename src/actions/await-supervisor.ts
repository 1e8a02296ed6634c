import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { killAndWait } from '../common/process-identity.js';
import { supervisorStatus, type SupervisorStatus } from '../supervise/client.js';
import { readProcessRecord } from '../supervise/process-record.js';
import { lockedExitCode, startSupervisor, type SupervisorChild } from '../supervise/start-supervisor.js';

/** Waits until the supervisor has started its engine, or says why it could not. @throws AgentError timeout */
export async function awaitSupervisor(
  paths: ResourcePaths,
  child: SupervisorChild,
  budgetMs: number,
): Promise<SupervisorStatus> {
  const deadline = Date.now() + budgetMs;
  for (;;) {
    const left = deadline - Date.now();
    if (left <= 0) {
      throw new AgentError('timeout', `the supervisor was not ready within ${budgetMs} ms: see ${paths.log}`);
    }
    try {
      const status = await supervisorStatus(paths.supervisor_socket, left);
      if (status.phase !== 'starting') return status;
    } catch {
      const code = child.exitCode();
      // Another supervisor has the lock: it is that one that will answer.
      if (code !== undefined && code !== lockedExitCode) {
        throw new AgentError(
          'engine-failed',
          `the supervisor ended at once (exit code ${code}): see ${paths.log}`,
        );
      }
    }
    await sleep(limits.poll_ms);
  }
}

/**
 * A supervisor that took a connection and did not answer hangs, and holds the lock; it owns nothing that is not on disk
 * or in the engine. One that does not listen is not touched: it may just have been born.
 */
export async function endHungSupervisor(
  paths: ResourcePaths,
  error: unknown,
  boundMs: number = limits.kill_ms,
): Promise<void> {
  if (!(error instanceof AgentError) || error.code !== 'timeout') return;
  const { supervisor } = await readProcessRecord(paths);
  if (supervisor) await killAndWait([supervisor], Math.min(limits.kill_ms, boundMs));
}

/** A supervisor that answers: the one that runs, or a new one after a crash while its engine lives or lived. */
export async function reviveSupervisor(
  paths: ResourcePaths,
  env: Environment,
  budgetMs: number,
): Promise<SupervisorStatus> {
  const deadline = Date.now() + budgetMs;
  try {
    const patience = Math.min(budgetMs / 2, limits.monitor_ms);
    const status = await supervisorStatus(paths.supervisor_socket, patience);
    if (status.phase !== 'starting') return status;
  } catch (error) {
    await endHungSupervisor(paths, error, deadline - Date.now());
  }
  return await awaitSupervisor(paths, await startSupervisor(paths, env), deadline - Date.now());
}
