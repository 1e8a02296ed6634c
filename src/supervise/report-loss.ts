import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { controllerState, reportFailure } from '../pacemaker/report-failure.js';
import { decideReport } from './decide-report.js';
import type { Phase } from './decide-monitor.js';
import type { Launch } from './launch.js';

export interface Loss {
  readonly launch: Launch;
  readonly log: Logger;
  readonly was_promoted: boolean;
  /** The supervisor's, as it is when this is called. */
  readonly phase: () => Phase;
}

/** Tells Pacemaker of an engine that is lost, once and if it helps, so that no monitor has to find it. Never throws. */
export async function reportLoss({ launch, log, was_promoted, phase }: Loss): Promise<void> {
  const { resource, node } = launch;
  const lost_at = Date.now();
  for (;;) {
    const since_loss_ms = Date.now() - lost_at;
    // Not asked about what is clear without it.
    const unasked = decideReport({ phase: phase(), was_promoted, controller: undefined, since_loss_ms });
    if (unasked === 'never') return;
    const controller = await controllerState();
    const decision = decideReport({ phase: phase(), was_promoted, controller, since_loss_ms });
    if (decision === 'never') return;
    if (decision === 'report') break;
    await sleep(limits.report_poll_ms);
  }
  try {
    await reportFailure(resource, node);
    log.info('Pacemaker has been told that the engine is lost');
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'Pacemaker was not told that the engine is lost: a monitor will');
  }
}
