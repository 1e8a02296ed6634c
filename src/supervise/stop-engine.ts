import type { Logger } from 'pino';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { isAlive, type ProcessIdentity } from '../common/process-identity.js';
import type { EngineStatus } from '../engine/messages.js';
import { durableAtStop } from './durable-transition.js';
import type { EngineSession } from './engine-session.js';
import type { Ledger } from './ledger.js';

/**
 * Ends an engine: in order if it takes it, else by SIGKILL. `seen` is how it was seen last.
 * @returns what SIGKILL did not end
 */
export async function stopEngine(
  session: EngineSession,
  parts: { readonly ledger: Ledger; readonly log: Logger },
  seen: EngineStatus | undefined,
): Promise<readonly ProcessIdentity[]> {
  const { ledger, log } = parts;
  let farewell = true as boolean;
  const engine = await session.status().catch((error: unknown) => {
    log.warn({ error: messageOf(error) }, 'the engine does not answer; it will be killed');
    farewell = false;
    return seen;
  });
  const { durable } = ledger;
  if (durable) {
    await ledger.save(durableAtStop(durable, engine)).catch((error: unknown) => {
      // The farewell would say "outdated" without a disk that holds it: no farewell then.
      log.error(messageOf(error));
      farewell = false;
    });
  }
  if (farewell) {
    await session.stop().catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, 'the engine did not stop in order; it will be killed');
      farewell = false;
    });
  }
  if (farewell) await awaitGone(session);
  const survivors = await session.kill();
  if (survivors.length > 0) log.error({ survivors }, 'processes outlived SIGKILL');
  return survivors;
}

async function awaitGone(session: EngineSession): Promise<void> {
  const deadline = Date.now() + limits.engine_stop_ms;
  while (isAlive(session.engine) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, limits.poll_ms));
  }
}
