import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { standsFrozen, type EngineState, type EngineStatus } from '../engine/messages.js';
import type { EngineSession } from './engine-session.js';
import type { Ledger } from './ledger.js';

/** The guest runs here. */
const RUNNING: readonly EngineState[] = ['solo', 'syncing', 'protected', 'frozen'];
/**
 * Its only copy is here, stopped: demoted without a peer, or handed over by a primary that goes no further with it. Pacemaker
 * demotes before it stops; so this is how a VM that is to end on both nodes arrives here.
 */
const HERE_ALONE: readonly EngineState[] = ['parked', 'handed-over'];

/** Asks a guest that runs here to power itself off, and nothing else. @returns whether it was asked */
export async function askToPowerOff(session: EngineSession, log: Logger): Promise<boolean> {
  try {
    const engine = await session.status();
    if (!RUNNING.includes(engine.state)) return false;
    await press(session, engine, log);
    return true;
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'the guest could not be asked to power itself off');
    return false;
  }
}

async function press(session: EngineSession, engine: EngineStatus, log: Logger): Promise<void> {
  // One that is paused because nobody acknowledges its outputs would not hear it.
  if (standsFrozen(engine)) await session.configure({ freeze_timeout_ms: 0, commit: 'pipelined' });
  await session.pressPowerButton();
  log.info('the guest has been asked to power itself off');
}

/** Lets a guest whose only copy is here power itself off; `isAsked`: one that runs has been asked. Whatever fails, or is too late: its engine is ended next. */
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
      await press(session, engine, log);
    } else if (!RUNNING.includes(engine.state)) return;
    else if (!isAsked) await press(session, engine, log);
    if (await ended(session, deadline)) log.info('the guest has powered itself off');
    else log.warn('the guest did not power itself off in time: it is ended like by a power cut');
  } catch (error) {
    log.warn(
      { error: messageOf(error) },
      'the guest could not be shut down: it is ended like by a power cut',
    );
  }
}

async function ended(session: EngineSession, deadline: number): Promise<boolean> {
  while (Date.now() < deadline) {
    const { state, guest, paused_for } = await session.status();
    // Without a link nobody acknowledges its end; but it does not run any more, and waits for nothing.
    if (state === 'ended' || (state === 'frozen' && guest === 'paused' && paused_for === null)) return true;
    await sleep(limits.shutdown_poll_ms);
  }
  return false;
}
