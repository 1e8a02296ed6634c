import { limits } from '../common/limits.js';

/** How the time of a stop is shared out, milliseconds. */
export interface StopPlan {
  /** For a supervisor that is dead, until a new one listens. */
  readonly revive_ms: number;
  /** For a supervisor's work beside the guest. */
  readonly supervisor_ms: number;
  /** From the beginning: until when a supervisor may have ended everything. */
  readonly orderly_until_ms: number;
  /** From the beginning: when whoever is left gets a SIGKILL, whatever is not done yet. */
  readonly kill_at_ms: number;
  /** From the beginning: until when whoever got one has to be gone. */
  readonly sweep_until_ms: number;
}

/**
 * Pure. A stop that is late is a stop that failed, and its node is fenced: the time for SIGKILL, and for what follows it, is
 * set aside before anything that may hang.
 */
export function planStop(budgetMs: number): StopPlan {
  const wanted_ms = limits.kill_ms + 2 * limits.cluster_tool_ms;
  const rest_ms = Math.min(wanted_ms, budgetMs / 3);
  const kill_at_ms = budgetMs - rest_ms;
  const orderly_until_ms = kill_at_ms - Math.min(limits.stop_alone_ms, kill_at_ms / 4);
  return {
    revive_ms: Math.min(limits.supervisor_revive_ms, orderly_until_ms / 3),
    supervisor_ms: Math.min(limits.supervisor_stop_ms, orderly_until_ms / 2),
    orderly_until_ms,
    kill_at_ms,
    sweep_until_ms: kill_at_ms + (rest_ms * limits.kill_ms) / wanted_ms,
  };
}

/** Pure. How long the guest may take to power itself off, of what is left for an orderly end: not at all if that is no time. */
export function shutdownTime(plan: StopPlan, leftMs: number): number {
  const time = Math.floor(leftMs - plan.supervisor_ms);
  return time < limits.shutdown_least_ms ? 0 : time;
}
