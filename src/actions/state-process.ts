import { execa } from 'execa';
import * as v from 'valibot';
import { bounded } from '../common/bounded.js';
import { AgentError } from '../common/error.js';
import type { Environment } from '../common/paths.js';
import { selfCommand } from '../common/self-command.js';
import { durableState, type DurableState } from '../supervise/durable-state.js';
import type { EngineView } from '../supervise/durable-transition.js';

/**
 * state.json for those who must end, by way of another process: on a disk that hangs a system call never returns, and a process
 * with a thread in one cannot even exit. The other one is left to itself then.
 */
function run(command: string, resource: string, env: Environment) {
  const [program, ...self] = selfCommand();
  // No end of a pipe of Pacemaker's: it may outlive this action.
  return execa(program, [...self, command, resource], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'pipe',
    stderr: 'ignore',
  });
}

/** @returns undefined when there is none. @throws AgentError state-unusable, timeout */
export async function readState(
  resource: string,
  env: Environment,
  timeoutMs: number,
): Promise<DurableState | undefined> {
  const child = run('read-state', resource, env);
  child.stdin.end();
  const { failed, stdout } = await within(child, 'reading state.json', timeoutMs);
  if (failed) throw new AgentError('state-unusable', 'state.json cannot be read');
  return v.parse(v.nullable(durableState), JSON.parse(stdout)) ?? undefined;
}

/** A process that waits for what the disk must say after a stop. */
export interface StateSettler {
  /** `engine`: as it was seen last. @throws AgentError state-unusable, timeout */
  settle(engine: EngineView | undefined, timeoutMs: number): Promise<void>;
}

/** Starts at once, because the program takes a moment, and waits. */
export function startSettler(resource: string, env: Environment): StateSettler {
  const child = run('settle-state', resource, env);
  return {
    async settle(engine, timeoutMs) {
      child.stdin.end(JSON.stringify(engine ?? null));
      const { failed } = await within(child, 'writing state.json', timeoutMs);
      if (failed) throw new AgentError('state-unusable', 'state.json cannot be written');
    },
  };
}

async function within(child: ReturnType<typeof run>, what: string, timeoutMs: number) {
  try {
    return await bounded(what, child, timeoutMs);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}
