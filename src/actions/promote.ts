import { actionBudget } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { toAgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment } from '../common/paths.js';
import { askSupervisor } from '../supervise/client.js';
import { contextOf, wasStarted } from './context.js';
import { watchSupervisor } from './watch-supervisor.js';

/** On the path between a host's death and the guest's next packet: the supervisor is asked first, all else after. */
export async function promote(env: Environment): Promise<number> {
  const { paths } = contextOf(env);
  if (!wasStarted(paths)) {
    const { absenceError } = await import('./absence.js');
    throw await absenceError(paths, ': start it before promoting it');
  }
  const deadline = Date.now() + actionBudget(env);
  const ask = async () => {
    const left = deadline - Date.now();
    const timeout_ms = Math.max(Math.floor(left - limits.answer_ms), 1);
    return await askSupervisor(paths.supervisor_socket, { command: 'promote', timeout_ms }, left);
  };
  const watch = watchSupervisor(paths);
  let answer;
  try {
    answer = await ask();
  } catch (error) {
    await watch.end();
    if (toAgentError(error, 'protocol').code !== 'not-running') throw error;
    const { reviveSupervisor } = await import('./await-supervisor.js');
    await reviveSupervisor(paths, env, deadline - Date.now());
    answer = await ask();
  }
  await watch.end();
  const scripts = env['OCF_RESKEY_monitor_scripts'] ?? '';
  if (answer['promoted'] === 'cold' && scripts !== '') {
    const { awaitBoot } = await import('./await-boot.js');
    await awaitBoot(paths, env, deadline);
  }
  return exitCode.ok;
}
