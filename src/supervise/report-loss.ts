import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { controllerState, reportFailure } from '../pacemaker/report-failure.js';
import { decideReport, type ReportEvidence } from './decide-report.js';
import type { Launch } from './launch.js';

export interface Loss {
  readonly launch: Launch;
  readonly log: Logger;
  /** The supervisor, as it is when this is called. */
  readonly seen: () => Pick<ReportEvidence, 'phase' | 'was_promoted'>;
}

/** Tells Pacemaker of an engine that is lost, once and if it helps, so that no monitor has to find it. Never throws. */
export async function reportLoss({ launch, log, seen }: Loss): Promise<void> {
  const lost_at = Date.now();
  const decide = (controller?: string) =>
    decideReport({ ...seen(), controller, since_loss_ms: Date.now() - lost_at });
  for (;;) {
    // The cluster is not asked about what is clear without it, and things go on while it is.
    const decision = decide() === 'never' ? 'never' : decide(await controllerState());
    if (decision === 'never') return;
    if (decision === 'report') break;
    await sleep(limits.report_poll_ms);
  }
  try {
    await reportFailure(launch.resource, launch.node);
    log.info('Pacemaker has been told that the engine is lost');
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'Pacemaker was not told that the engine is lost: a monitor will');
  }
}
