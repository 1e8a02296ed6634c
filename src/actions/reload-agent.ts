import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { engineSpec, tuningOf } from '../config/engine-spec.js';
import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { readParameters, type ParameterValues } from '../pacemaker/parameters.js';
import { bounded } from '../common/bounded.js';
import { messageOf } from '../common/error.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';
import { askSupervisor } from '../supervise/client.js';
import { absenceError } from './absence.js';
import { reviveSupervisor } from './await-supervisor.js';
import { contextOf, wasStarted } from './context.js';
import { tellUtilization } from './utilization.js';

/** Other values of reloadable parameters: the guest runs on, and takes them as they are. */
export async function reloadAgent(env: Environment): Promise<number> {
  const values = readParameters(env);
  const { paths } = contextOf(env);
  if (!wasStarted(paths)) throw await absenceError(paths);
  const deadline = Date.now() + actionBudget(env);
  await reviveSupervisor(paths, env, deadline - Date.now());
  const { log_level } = values;
  const order = { command: 'reload', tuning: tuningOf(values), log_level } as const;
  await askSupervisor(paths.supervisor_socket, order, deadline - Date.now());
  await tellOfRunning(paths, values, Math.max(deadline - Date.now(), 1));
  return exitCode.ok;
}

/** What the VM takes of a host, as it runs: its description may be another one by now. The cluster is waited for no longer than that. */
async function tellOfRunning(paths: ResourcePaths, values: ParameterValues, boundMs: number): Promise<void> {
  const tell = async (): Promise<void> => {
    const { machine } = v.parse(engineSpec, JSON.parse(await readFile(paths.spec, 'utf8')));
    await tellUtilization(paths.resource, machine, values);
  };
  await bounded('telling the cluster of the utilization', tell(), boundMs).catch((error: unknown) => {
    writeAll(2, `${messageOf(error)}\n`);
  });
}
