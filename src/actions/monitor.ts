import { actionBudget, checkLevel, isRecurring } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { writeExitReason } from '../pacemaker/exit-reason.js';
import { toAgentError, type AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment } from '../common/paths.js';
import { supervisorStatus } from '../supervise/client.js';
import { pathsIfStartable, wasStarted } from './context.js';

/** Why the supervisor did not answer: plain data, because it goes to another file of the executable. */
export type NoAnswer = Pick<AgentError, 'code' | 'message'>;

/** What monitor leaves to the whole program, because it is rare: each gives the exit code. */
export interface MonitorElsewhere {
  /** Without an answer from the supervisor. */
  monitorAlone(env: Environment, why: NoAnswer): Promise<number>;
  /** Of what was not started here, as far as the run folder says. */
  monitorUnstarted(env: Environment): Promise<number>;
  /** A level of OCF_CHECK_LEVEL that looks deeper than at the engine. */
  monitorDeeply(env: Environment): Promise<number>;
}

/** What a monitor has found. */
export interface Finding {
  readonly code: number;
  readonly recurring: number;
  readonly reason?: string | null | undefined;
}

/** Levels of OCF_CHECK_LEVEL: QEMU itself answers; whoever talks to the guest is content. */
export const QEMU_LEVEL = 10;
export const GUEST_LEVEL = 20;

/** Runs every few seconds for years: it loads nothing that it does not need, and asks one question of one socket. */
export async function monitor(env: Environment, elsewhere: MonitorElsewhere): Promise<number> {
  const paths = pathsIfStartable(env);
  if (!paths || !wasStarted(paths)) return await elsewhere.monitorUnstarted(env);
  if (checkLevel(env) >= QEMU_LEVEL) return await elsewhere.monitorDeeply(env);
  const budget = Math.min(actionBudget(env), limits.monitor_ms);
  let found;
  try {
    found = (await supervisorStatus(paths.supervisor_socket, budget)).monitor;
  } catch (error) {
    const { code, message } = toAgentError(error, 'engine-failed');
    return await elsewhere.monitorAlone(env, { code, message });
  }
  return tellFinding(found, env);
}

/**
 * That nothing runs is what a probe may hope for. A recurring monitor is asked of what should run.
 *
 * @returns the exit code of this monitor, recurring or not; the reason of what is not well is written.
 */
export function tellFinding(found: Finding, env: Environment): number {
  const recurring = isRecurring(env);
  const code = recurring ? found.recurring : found.code;
  const healthy =
    code === exitCode.ok || code === exitCode.promoted || (code === exitCode.not_running && !recurring);
  if (!healthy && found.reason) writeExitReason(found.reason);
  return code;
}
