import type { MonitorElsewhere } from './actions/monitor.js';
import { answer } from './cli/answer.js';
import { commands } from './cli/commands.js';
import { AgentError } from './common/error.js';
import type { Environment } from './common/paths.js';

/**
 * The file of everything: what main.ts asks of it. Both have classes of their own, by the same names: only plain data and
 * exit codes pass between them.
 */
export interface Program extends MonitorElsewhere {
  /** Any command of the table. @returns its exit code; what went wrong has been written */
  run(argv: readonly string[], env: Environment): Promise<number>;
}

/** What Pacemaker calls goes straight to its code; only what a person types pays for a parser of arguments. */
async function run(argv: readonly string[], env: Environment): Promise<number> {
  const [name, ...rest] = argv;
  const command = commands.find((one) => one.name === name);
  if (command && command.kind !== 'person' && !rest.includes('--help')) {
    return await command.run(env, { arguments: rest, switches: new Set() });
  }
  if (!command && name !== undefined && !name.startsWith('-')) {
    throw new AgentError('unknown-command', `there is no action or command "${name}": see kemari --help`);
  }
  const { runByYargs } = await import('./cli/translate.js');
  return await runByYargs(commands, argv, env);
}

export const program: Program = {
  run: (argv, env) => answer(() => run(argv, env)),
  monitorAlone: (env, why) =>
    answer(async () => (await import('./actions/monitor-alone.js')).monitorAlone(env, why)),
  monitorDeeply: (env) =>
    answer(async () => (await import('./actions/monitor-deeply.js')).monitorDeeply(env)),
  monitorUnstarted: (env) =>
    answer(async () => (await import('./actions/monitor-alone.js')).monitorUnstarted(env)),
};
