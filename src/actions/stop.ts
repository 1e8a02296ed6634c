import { withEngine, type EngineClient } from '../engine/client.js';
import { askToPowerOff, hasPoweredOff } from '../engine/power-off.js';
import { actionBudget, resourceName } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { bounded } from '../common/bounded.js';
import { AgentError, messageOf, toAgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { awaitEnd, isAlive, killAndWait } from '../common/process-identity.js';
import { writeAll } from '../common/write-all.js';
import { askSupervisor } from '../supervise/client.js';
import { findProcesses, readProcessRecord } from '../supervise/process-record.js';
import { sweep } from '../supervise/sweep.js';
import { reviveSupervisor } from './await-supervisor.js';
import { pathsIfStartable, wasStarted } from './context.js';
import { isForced } from './force-stop.js';
import { nodeOf } from './node.js';
import { planStop, shutdownTime, type StopPlan } from './plan-stop.js';
import { startSettler } from './state-process.js';
import { tellDisk } from './tell-disk.js';

/**
 * Ends the resource here, whatever is broken: a stop that fails gets the node fenced. Each step is bounded, and none
 * is needed by the next: supervisor in order, engine in order, SIGKILL. Success means that no process is left.
 */
export async function stop(env: Environment): Promise<number> {
  const paths = pathsIfStartable(env);
  if (!paths) {
    writeAll(2, `${resourceName(env)} is no name that a start takes: nothing of it can run here\n`);
    return exitCode.ok;
  }
  const budget = actionBudget(env);
  const plan = planStop(budget);
  const began = Date.now();
  const node = nodeOf(env).catch(() => undefined);
  try {
    await stopInOrder(paths, env, plan, began);
  } catch {
    if (!isForced(env)) await powerOffAlone(paths, began + plan.orderly_until_ms).catch(() => undefined);
    await stopAlone(paths, env, began + plan.kill_at_ms).catch((error: unknown) => {
      writeAll(2, `stop goes on without an orderly end of the engine: ${messageOf(error)}\n`);
    });
  }
  await sweep(paths, await node, began + plan.sweep_until_ms);
  await tellDisk(paths, env, 'stop', began + budget);
  return exitCode.ok;
}

/** @throws AgentError when no supervisor has ended everything in time. */
async function stopInOrder(
  paths: ResourcePaths,
  env: Environment,
  plan: StopPlan,
  began: number,
): Promise<void> {
  await awake(paths, env, plan.revive_ms);
  const left = began + plan.orderly_until_ms - Date.now();
  const shutdown_ms = isForced(env) ? 0 : shutdownTime(plan, left);
  await askSupervisor(paths.supervisor_socket, { command: 'stop', shutdown_ms }, left);
  const { supervisor } = await readProcessRecord(paths);
  if (supervisor)
    await awaitEnd([supervisor], Math.min(limits.status_ms, began + plan.kill_at_ms - Date.now()));
}

/**
 * Only a supervisor can let the guest end in order: one that is dead is started again, and one that hangs for longer than a busy
 * host explains makes room for another.
 */
async function awake(paths: ResourcePaths, env: Environment, budgetMs: number): Promise<void> {
  const deadline = Date.now() + budgetMs;
  try {
    await askSupervisor(paths.supervisor_socket, { command: 'ping' }, Math.min(limits.ping_ms, budgetMs / 4));
  } catch (error) {
    const { code } = toAgentError(error, 'protocol');
    if (!wasStarted(paths) || (code !== 'not-running' && code !== 'timeout')) throw error;
    await reviveSupervisor(paths, env, deadline - Date.now());
  }
}

/** Without a supervisor: a guest whose engine answers still ends in order, if there is time. */
async function powerOffAlone(paths: ResourcePaths, deadline: number): Promise<void> {
  const left = deadline - Date.now();
  if (left < limits.shutdown_least_ms) return;
  const asked = withEngine(paths.engine_socket, async (engine) => {
    if (await askToPowerOff(engine)) await hasPoweredOff(engine, deadline);
  });
  await bounded('the end of the guest', asked, left);
}

/** Without a supervisor: this action is the one owner of state.json once the old one is surely gone. */
async function stopAlone(paths: ResourcePaths, env: Environment, deadline: number): Promise<void> {
  const left = (share = 1) => Math.max((deadline - Date.now()) * share, 1);
  const settler = startSettler(paths.resource, env);
  const record = await readProcessRecord(paths);
  const supervisors = record.supervisor ? [record.supervisor] : await findProcesses(paths, 'supervisor');
  const survivors = await killAndWait(supervisors, left(1 / 4));
  if (survivors.length > 0) throw new AgentError('survivor', 'the supervisor outlived SIGKILL');
  const ask = <Result>(what: string, use: (engine: EngineClient) => Promise<Result>) =>
    bounded(what, withEngine(paths.engine_socket, use), left(1 / 3));
  const engineLives = record.engine !== undefined && isAlive(record.engine);
  const status = engineLives
    ? await ask('a status of the engine', (engine) => engine.status()).catch(() => undefined)
    : undefined;
  // Disk before farewell: the engine's tells the primary that this replica is outdated.
  await settler.settle(status, left(3 / 4));
  if (!status || !record.engine) return;
  await ask('the farewell of the engine', (engine) => engine.stop());
  await awaitEnd([record.engine], Math.min(limits.engine_stop_ms, left()));
}
