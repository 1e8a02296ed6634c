import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { EngineStatus } from '../engine/messages.js';
import type { EngineSession } from './engine-session.js';

/** Until when. */
export interface EndOfGuest {
  /** It may power itself off. */
  readonly shutdown: number;
  /** It has ended, one way or the other. */
  readonly end: number;
}

/**
 * Ends a sick guest and with it its generation: the other node hears that it has ended and throws its copy, which is as sick,
 * away. It may power itself off first, so that it loses nothing that it still can save.
 *
 * @returns the engine of the guest that has ended; nothing if the other node could not be told.
 */
export async function endSickGuest(
  session: EngineSession,
  log: Logger,
  { shutdown, end }: EndOfGuest,
): Promise<EngineStatus | undefined> {
  try {
    if (Date.now() < shutdown) {
      await session.pressPowerButton();
      const ended = await awaitEnded(session, shutdown);
      if (ended) return ended;
      log.warn('the sick guest did not power itself off in time: it is ended like by a power cut');
    }
    await session.endGuest();
    return await awaitEnded(session, end);
  } catch (error) {
    log.warn({ error: messageOf(error) }, 'the sick guest could not be ended in order');
    return undefined;
  }
}

async function awaitEnded(session: EngineSession, deadline: number): Promise<EngineStatus | undefined> {
  for (;;) {
    const engine = await session.status();
    if (engine.state === 'ended') return engine;
    if (Date.now() >= deadline) return undefined;
    await sleep(limits.shutdown_poll_ms);
  }
}
