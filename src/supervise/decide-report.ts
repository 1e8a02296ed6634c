import { IDLE } from '../pacemaker/report-failure.js';
import { limits } from '../common/limits.js';
import type { Phase } from './decide-monitor.js';

export interface ReportEvidence {
  readonly phase: Phase;
  /** The guest ran here when the engine was lost, and has not been demoted since. */
  readonly was_promoted: boolean;
  /** What the cluster's controller is at; undefined: it does not say. */
  readonly controller: string | undefined;
  readonly since_loss_ms: number;
}

/**
 * Is Pacemaker told that the engine here is lost, or does it find out by itself? Pure.
 *
 * Never of a promoted one: it would be started here again before the replica is promoted. That its score has gone leads to the
 * replica at once. What dies under an operation fails that operation, and a transition that is under way may be the promotion of
 * the other node, which a start here would then come before: so only when nothing is due. A cluster that does not come to
 * rest is left to the next monitor.
 */
export function decideReport(evidence: ReportEvidence): 'report' | 'wait' | 'never' {
  const { phase, was_promoted, controller, since_loss_ms } = evidence;
  if (phase !== 'lost' || was_promoted) return 'never';
  if (controller === IDLE) return 'report';
  return since_loss_ms < limits.report_wait_ms ? 'wait' : 'never';
}
