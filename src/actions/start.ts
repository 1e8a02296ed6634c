import { mkdir, open } from 'node:fs/promises';
import { translate } from '../config/engine-spec.js';
import { readVm } from '../config/read-config.js';
import { checkRequirements } from '../config/requirements.js';
import { syncEnds } from '../config/sync-ends.js';
import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { readParameters } from '../pacemaker/parameters.js';
import { fencingIsOff } from '../pacemaker/tools.js';
import { bounded } from '../common/bounded.js';
import { AgentError, messageOf, systemCodeOf } from '../common/error.js';
import { libraryDir, type Environment, type ResourcePaths } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';
import { createRunDir } from '../supervise/launch.js';
import { readProcessRecord } from '../supervise/process-record.js';
import { startSupervisor, supervisorCommand } from '../supervise/start-supervisor.js';
import { sweep } from '../supervise/sweep.js';
import { engineLives, strayReason, straysOf } from './absence.js';
import { awaitSupervisor, reviveSupervisor } from './await-supervisor.js';
import { contextOf, wasStarted } from './context.js';
import { nodeOf } from './node.js';
import { addressesOf } from './sync-addresses.js';
import { tellDisk } from './tell-disk.js';
import { tellUtilization } from './utilization.js';

/** Starts supervisor and engine, as a secondary with an empty replica. Never waits for a sync. */
export async function start(env: Environment): Promise<number> {
  const { paths, resource } = contextOf(env);
  const values = readParameters(env);
  requireRoot();
  const deadline = Date.now() + actionBudget(env);

  if (wasStarted(paths)) {
    if (await runsAlready(paths, env, deadline)) return exitCode.ok;
  } else {
    // Beside one that has lost its folder a second engine would be started.
    const strays = await straysOf(paths);
    if (strays.length > 0) throw new AgentError('engine-failed', strayReason(paths, strays));
  }

  const vm = await readVm(values.config, { qemu_commandline: values.allow_qemu_commandline });
  await checkRequirements(vm, values);
  if (!values.allow_unfenced) await requireFencing();
  const node = await nodeOf(env);
  const ends = syncEnds(await addressesOf(values), values.sync_port, node);
  const supervisor = supervisorCommand(paths);
  const spec = translate({ vm, values, node, ends, supervisor }, paths, libraryDir(env));

  // Two starts at once meet at the supervisor's lock; what is written is the same for both.
  await createLogDir(paths.log_dir);
  await createConsoleLog(spec.machine.console_log);
  const { uuid: vm_uuid } = vm;
  const { log_level } = values;
  const peers = spec.peers.map((peer) => peer.node);
  await createRunDir(paths, { version: 1, resource, node, peers, vm_uuid, log_level }, spec);
  try {
    const child = await startSupervisor(paths, env);
    const status = await awaitSupervisor(paths, child, deadline - Date.now());
    if (status.phase === 'running') {
      // The guest is more than what the scheduler counts it as.
      const left = Math.max(deadline - Date.now(), 1);
      await bounded('the utilization of the node', tellUtilization(resource, vm, values), left).catch(
        (error: unknown) => {
          writeAll(2, `${messageOf(error)}\n`);
        },
      );
      return exitCode.ok;
    }
    throw status.failure
      ? new AgentError(status.failure.code, status.failure.message)
      : new AgentError('engine-failed', `the supervisor is ${status.phase}: see ${paths.log}`);
  } catch (error) {
    await sweep(paths, node);
    await tellDisk(paths, env, 'stop', deadline);
    throw error;
  }
}

/**
 * @returns false after taking away what an earlier life has left, whose guest is gone.
 * @throws AgentError a guest may run that nobody can speak for, or is just being stopped: only a stop may end it
 */
async function runsAlready(paths: ResourcePaths, env: Environment, deadline: number): Promise<boolean> {
  let status;
  try {
    status = await reviveSupervisor(paths, env, deadline - Date.now());
  } catch (error) {
    if (await engineLives(paths, await readProcessRecord(paths)))
      throw new AgentError(
        'engine-failed',
        `${paths.resource} runs, but nobody supervises it, and no supervisor can be started: ${messageOf(error)}`,
        { cause: error },
      );
  }
  if (status?.phase === 'running' && status.monitor.code !== exitCode.not_running) return true;
  if (status?.phase === 'stopping')
    throw new AgentError('refused', `${paths.resource} is being stopped: start it when that is done`);
  await sweep(paths, undefined);
  return false;
}

async function createLogDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o750 });
  } catch (error) {
    throw new AgentError('state-unusable', `${path} cannot be created: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** QEMU would make it readable for everybody, and a console shows what is typed. One that is there stays as it is. */
async function createConsoleLog(path: string): Promise<void> {
  try {
    await (await open(path, 'ax', 0o600)).close();
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return;
    throw new AgentError('state-unusable', `the console log ${path} cannot be created: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Without it nobody can say that the other host is dead. A node whose cluster does not answer is not told from one without. */
async function requireFencing(): Promise<void> {
  if (!(await fencingIsOff().catch(() => false))) return;
  throw new AgentError(
    'bad-parameter',
    'fencing is turned off in this cluster: turn it on (pcs property set stonith-enabled=true), or set allow_unfenced=true for a test',
  );
}

function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new AgentError('not-permitted', 'starting a VM needs root: run this as root');
}
