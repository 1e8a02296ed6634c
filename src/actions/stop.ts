import { withEngine } from '../engine/client.js';
import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { messageOf, toAgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { awaitEnd, isAlive, killAndWait } from '../common/process-identity.js';
import { askSupervisor } from '../supervise/client.js';
import { DurableStore } from '../supervise/durable-state.js';
import { durableAtStop } from '../supervise/durable-transition.js';
import { readProcessRecord } from '../supervise/process-record.js';
import { sweep } from '../supervise/sweep.js';
import { reviveSupervisor } from './await-supervisor.js';
import { contextOf, wasStarted } from './context.js';
import { isForced } from './force-stop.js';
import { nodeOf } from './node.js';
import { tellDisk } from './tell-disk.js';

/**
 * Ends the resource here, whatever is broken: a stop that fails gets the node fenced. Each step is bounded, and none
 * is needed by the next: supervisor in order, engine in order, SIGKILL. Success means that no process is left.
 */
export async function stop(env: Environment): Promise<number> {
  const { paths } = contextOf(env);
  const budget = actionBudget(env);
  try {
    const bound = Math.min(limits.supervisor_stop_ms, budget / 2);
    // What may be left is for the guest; a supervisor that hangs does not use it up.
    const shutdown_ms = isForced(env) ? 0 : Math.max(Math.floor(budget - bound - limits.stop_reserve_ms), 0);
    await awake(paths, env, Math.min(limits.ping_ms, bound));
    await askSupervisor(paths.supervisor_socket, { command: 'stop', shutdown_ms }, shutdown_ms + bound);
    const { supervisor } = await readProcessRecord(paths);
    if (supervisor) await awaitEnd([supervisor], limits.status_ms);
  } catch {
    await stopAlone(paths, budget / 4).catch((error: unknown) => {
      process.stderr.write(`stop goes on without an orderly end of the engine: ${messageOf(error)}\n`);
    });
  }
  await sweep(paths, await nodeOf(env).catch(() => undefined));
  await tellDisk(paths, env, 'stop');
  return exitCode.ok;
}

/** A supervisor that is dead is started again: only it can let the guest end in order. One that hangs is left alone. */
async function awake(paths: ResourcePaths, env: Environment, budgetMs: number): Promise<void> {
  try {
    await askSupervisor(paths.supervisor_socket, { command: 'ping' }, budgetMs);
  } catch (error) {
    if (!wasStarted(paths) || toAgentError(error, 'protocol').code !== 'not-running') throw error;
    await reviveSupervisor(paths, env, budgetMs);
  }
}

/** Without a supervisor: this process is the one owner of state.json once the old one is surely gone. */
async function stopAlone(paths: ResourcePaths, budgetMs: number): Promise<void> {
  const record = await readProcessRecord(paths);
  if (record.supervisor) await killAndWait([record.supervisor]);
  const engineLives = record.engine !== undefined && isAlive(record.engine);
  const ask = <Result>(work: Promise<Result>) => bounded(work, budgetMs / 2);
  const status = engineLives
    ? await ask(withEngine(paths.engine_socket, (engine) => engine.status())).catch(() => undefined)
    : undefined;

  const store = new DurableStore(paths);
  const durable = await store.load();
  // Disk before farewell: the engine's tells the primary that this replica is outdated.
  if (durable) await store.write(durableAtStop(durable, status));
  if (!status || !record.engine) return;
  await ask(withEngine(paths.engine_socket, (engine) => engine.stop()));
  await awaitEnd([record.engine], limits.engine_stop_ms);
}

async function bounded<Result>(work: Promise<Result>, timeoutMs: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
