import { standsFrozen, type EngineStatus } from '../engine/messages.js';
import { exitCode, type ExitCode } from '../pacemaker/exit-codes.js';
import { limits } from '../common/limits.js';
import type { SyncWord } from './durable-state.js';

export type Phase = 'starting' | 'running' | 'failed' | 'lost' | 'stopping';

export interface MonitorEvidence {
  readonly phase: Phase;
  /** undefined: the engine does not answer. */
  readonly engine:
    Pick<EngineStatus, 'role' | 'state' | 'data_thread_idle_ms' | 'sync_progress' | 'paused_for'> | undefined;
  /** The guest ran here when the engine was last heard of. */
  readonly was_promoted: boolean;
  /** What the disk says; left out: it was not asked. */
  readonly sync?: SyncWord | undefined;
  /** Of a lost engine: Pacemaker is told as soon as nothing is due in the cluster. */
  readonly report_due?: boolean;
  /** For how long the replica has been built; left out: nobody knows. */
  readonly receiving_ms?: number | undefined;
  readonly failure: string | undefined;
}

export interface MonitorVerdict {
  /** For a probe and a call by hand. */
  readonly code: ExitCode;
  /**
   * For a recurring monitor: the same, or its degraded form. Pacemaker 2.1 takes 190 for 0 and 191 for 8 in scheduler
   * and controller alike (pcmk__effective_rc), but lists them with the failed actions; a probe (cleanup, reprobe, a
   * call by hand) asks only what runs here, so it gets the plain code.
   */
  readonly recurring: ExitCode;
  readonly reason: string | undefined;
}

function plain(code: ExitCode, reason?: string): MonitorVerdict {
  return { code, recurring: code, reason };
}

/** The OCF monitor code. Pure. A frozen primary is healthy: a failed monitor would destroy the only valid guest. */
export function decideMonitor(evidence: MonitorEvidence): MonitorVerdict {
  const { phase, engine, was_promoted, sync, report_due = false, receiving_ms = 0, failure } = evidence;
  const broken = was_promoted ? exitCode.failed_promoted : exitCode.generic;
  switch (phase) {
    case 'starting':
    case 'stopping':
      if (!engine) return plain(exitCode.not_running);
      break;
    case 'failed':
      return plain(exitCode.not_running, failure);
    case 'lost':
      if (was_promoted) return plain(exitCode.failed_promoted, failure);
      // A failure found now, as by the monitor that begins after a demote, would start this one before the other is promoted.
      return report_due
        ? { code: exitCode.not_running, recurring: exitCode.degraded, reason: failure }
        : plain(exitCode.not_running, failure);
    case 'running':
      break;
  }
  if (!engine) return plain(broken, failure ?? 'the engine does not answer on its control socket');
  if (engine.data_thread_idle_ms > limits.data_thread_stuck_ms) {
    const seconds = Math.floor(engine.data_thread_idle_ms / 1000);
    return plain(
      engine.role === 'primary' ? exitCode.failed_promoted : exitCode.generic,
      `the engine's data thread has been stuck for ${seconds} s`,
    );
  }
  switch (engine.state) {
    case 'protected':
      return plain(exitCode.promoted);
    case 'frozen':
      return standsFrozen(engine)
        ? {
            code: exitCode.promoted,
            recurring: exitCode.degraded_promoted,
            reason:
              engine.paused_for === 'freeze'
                ? 'frozen for freeze_timeout: the guest is paused until the other node is back'
                : 'frozen, and commit is sync: the guest is paused until the other node is back',
          }
        : plain(exitCode.promoted);
    case 'solo':
    case 'syncing':
      return {
        code: exitCode.promoted,
        recurring: exitCode.degraded_promoted,
        reason: 'the guest has no replica yet',
      };
    case 'ended':
      return plain(exitCode.not_running, 'the guest has powered itself off');
    case 'in-sync':
    case 'handed-over':
    case 'parked':
      return plain(exitCode.ok);
    case 'receiving': {
      // Right after a start this is as it should be. And a recurring monitor whose last result is none of its own cannot be cancelled in
      // time by a new DC: until it has run again, a failover from a host that was the DC waits for Pacemaker's `cluster-delay`.
      if (receiving_ms < limits.receiving_grace_ms) return plain(exitCode.ok, 'the replica is not complete');
      const progress = engine.sync_progress ? ` (${engine.sync_progress.percent}%)` : '';
      return {
        code: exitCode.ok,
        recurring: exitCode.degraded,
        reason: `the replica is not complete${progress}`,
      };
    }
    case 'empty':
      if (sync === 'outdated')
        return {
          code: exitCode.ok,
          recurring: exitCode.degraded,
          reason: 'outdated: what was here is left behind, and there is no new replica yet',
        };
      // Right after start this is as it should be, and ocf-tester's own recurring monitor takes nothing but 0 for it.
      return plain(exitCode.ok, 'there is no replica yet');
  }
}
