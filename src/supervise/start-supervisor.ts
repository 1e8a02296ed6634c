import { closeSync } from 'node:fs';
import { execa } from 'execa';
import { AgentError } from '../common/error.js';
import { openLog } from '../common/open-log.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { selfCommand } from '../common/self-command.js';

export interface SupervisorChild {
  /** Its exit code once it has ended; undefined while it lives. */
  exitCode(): number | undefined;
}

/** flock(1) leaves with this when another process holds the lock. */
export const lockedExitCode = 75;

/**
 * What V8 sets aside for new objects grows to 16 MiB twice over in the months that a supervisor lives, and stays so; its work
 * fits into this. Node takes it from the environment only, where the single executable starts.
 */
const nodeOptions = '--max-semi-space-size=2';

/** Variables of one action mean nothing to a process that outlives it; the last two slow down or bend Node. */
function lastingEnvironment(env: Environment): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || /^(OCF_|PCMK_|HA_|NODE_)/.test(name)) continue;
    kept[name] = value;
  }
  return kept;
}

/**
 * The command of a supervisor. flock(1) makes it the only one: the lock is inherited through exec and goes with the
 * process, so there is no lock file to delete by hand.
 */
export function supervisorCommand(paths: ResourcePaths): readonly string[] {
  const lock = ['--nonblock', '--conflict-exit-code', String(lockedExitCode), '--no-fork', paths.lock];
  return ['flock', ...lock, ...selfCommand(), 'supervise', paths.run_dir];
}

/**
 * Starts `kemari supervise` in its own session with its own output, so that it outlives the action and the process
 * group that Pacemaker kills on a time-out. @throws AgentError missing-requirement
 */
export async function startSupervisor(paths: ResourcePaths, env: Environment): Promise<SupervisorChild> {
  const [program = '', ...args] = supervisorCommand(paths);
  const log = openLog(paths.log);
  try {
    const child = execa(program, args, {
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      extendEnv: false,
      env: { ...lastingEnvironment(env), NODE_OPTIONS: nodeOptions },
      stdin: 'ignore',
      // execa's types list the descriptors 3 to 9; any number is handed to spawn as it is.
      stdout: log as 3,
      stderr: log as 3,
    });
    let code: number | undefined;
    void child.then((result) => {
      code = result.exitCode ?? 1;
    });
    if (child.pid === undefined) {
      await child;
      throw new AgentError('missing-requirement', 'flock cannot be run: install util-linux');
    }
    child.unref();
    return { exitCode: () => code };
  } finally {
    closeSync(log);
  }
}
