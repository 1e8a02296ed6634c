import { withEngine } from '../engine/client.js';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { isAlive } from '../common/process-identity.js';
import { decideMonitor, type MonitorVerdict } from '../supervise/decide-monitor.js';
import { readProcessRecord } from '../supervise/process-record.js';
import { endHungSupervisor } from './await-supervisor.js';
import { startSupervisor } from '../supervise/start-supervisor.js';

/** Monitor without an answer from the supervisor: the engine is asked, and a new supervisor started. */
export async function monitorAlone(
  paths: ResourcePaths,
  env: Environment,
  why: unknown,
): Promise<MonitorVerdict> {
  const record = await readProcessRecord(paths);
  const engineLives = record.engine !== undefined && isAlive(record.engine);
  if (!engineLives) {
    return decideMonitor({
      phase: 'lost',
      engine: undefined,
      was_promoted: record.promoted,
      failure: `engine and supervisor have ended (${messageOf(why)})`,
    });
  }
  const status = await withEngine(paths.engine_socket, (engine) => engine.status()).catch(() => undefined);
  await endHungSupervisor(paths, why);
  await startSupervisor(paths, env).catch(() => undefined);
  return decideMonitor({
    phase: 'running',
    engine: status,
    was_promoted: record.promoted,
    failure: `neither the supervisor nor the engine answers within ${limits.status_ms} ms`,
  });
}
