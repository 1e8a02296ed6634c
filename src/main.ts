import { commands } from './cli/commands.js';
import { exitCodeOf } from './pacemaker/exit-codes.js';
import { writeExitReason } from './pacemaker/exit-reason.js';
import { AgentError, toAgentError } from './common/error.js';

/** What Pacemaker calls goes straight to its code; only what a person types pays for a parser of arguments. */
async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  const command = commands.find((one) => one.name === name);
  if (command && command.kind !== 'person' && !rest.some((word) => word === '--help')) {
    return await command.run(process.env, { arguments: rest, switches: new Set() });
  }
  if (!command && name !== undefined && !name.startsWith('-')) {
    throw new AgentError('unknown-command', `there is no action or command "${name}": see kemari --help`);
  }
  const { runByYargs } = await import('./cli/translate.js');
  return await runByYargs(commands, argv, process.env);
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exit(code);
  },
  (error: unknown) => {
    // A bug is shown whole; whatever else has a sentence for Pacemaker and one exit code.
    if (!(error instanceof AgentError) && error instanceof Error)
      process.stderr.write(`${error.stack ?? ''}\n`);
    const failure = toAgentError(error, 'engine-failed');
    writeExitReason(failure.message);
    process.exit(exitCodeOf[failure.code]);
  },
);
