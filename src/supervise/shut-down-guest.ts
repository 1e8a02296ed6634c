import type { Logger } from 'pino';
import { messageOf } from '../common/error.js';
import type { EngineState } from '../engine/messages.js';
import { askToPowerOff, hasPoweredOff } from '../engine/power-off.js';
import type { EngineSession } from './engine-session.js';
import type { Ledger } from './ledger.js';

/**
 * Its only copy is here, stopped: demoted without a peer, or handed over by a primary that goes no further with it. Pacemaker
 * demotes before it stops; so this is how a VM that is to end on both nodes arrives here.
 */
const HERE_ALONE: readonly EngineState[] = ['parked', 'handed-over'];

/** Asks a guest that runs here to power itself off, and nothing else. @returns whether it was asked */
export async function askEarly(session: EngineSession, log: Logger): Promise<boolean> {
  try {
    const isAsked = await askToPowerOff(session);
    if (isAsked) log.info('the guest has been asked to power itself off, beside what is under way');
    return isAsked;
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'the guest could not be asked to power itself off yet');
    return false;
  }
}

/**
 * Lets a guest whose only copy is here power itself off; `isAsked`: one that runs has been asked. Whatever fails, or is too late:
 * its engine is ended next.
 */
export async function shutDownGuest(
  session: EngineSession,
  { ledger, log }: { readonly ledger: Ledger; readonly log: Logger },
  deadline: number,
  isAsked: boolean,
): Promise<void> {
  try {
    const engine = await session.status();
    if (HERE_ALONE.includes(engine.state)) {
      const generation = Math.max(engine.generation, ledger.known().generation) + 1;
      log.info({ generation }, 'going on with the guest, so that it can be shut down');
      await ledger.beginGeneration(generation, () =>
        session.promote('hot', generation, Math.max(deadline - Date.now(), 1)),
      );
    }
    if (!isAsked) {
      if (!(await askToPowerOff(session))) return;
      log.info('the guest has been asked to power itself off');
    }
    if (await hasPoweredOff(session, deadline)) log.info('the guest has powered itself off');
    else log.warn('the guest did not power itself off in time: it is ended like by a power cut');
  } catch (error) {
    log.warn(
      { error: messageOf(error) },
      'the guest could not be shut down: it is ended like by a power cut',
    );
  }
}
