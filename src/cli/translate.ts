import yargs from 'yargs';
import { parameterList } from '../pacemaker/parameters.js';
import { AgentError } from '../common/error.js';
import type { Environment } from '../common/paths.js';
import { version } from '../common/version.js';
import type { Command } from './commands.js';

function usageOf(command: Command): string {
  const places = (command.arguments ?? []).map(({ name, required }) =>
    required ? `<${name}>` : `[${name}]`,
  );
  return [command.name, ...places].join(' ');
}

const parameterHelp = parameterList
  .map(([name, { fallback, long }]) => {
    const otherwise =
      fallback === undefined ? 'required' : fallback === '' ? undefined : `default ${fallback}`;
    return `  OCF_RESKEY_${name}  ${long.replaceAll('\n', ' ')}${otherwise === undefined ? '' : ` (${otherwise})`}`;
  })
  .join('\n');

/** The one translator of the commands' data for yargs, for the commands that people type. */
export async function runByYargs(
  commands: readonly Command[],
  argv: readonly string[],
  env: Environment,
): Promise<number> {
  let code: number | undefined;
  const parser = yargs([...argv])
    .scriptName('kemari')
    .usage(
      '$0 COMMAND\n\nKeeps a virtual machine and its TCP connections running when the host under it dies.',
    )
    .version(version)
    .help()
    .strict()
    .exitProcess(false)
    .demandCommand(1, 'name a command')
    .epilogue(
      `Pacemaker runs this program as ocf:kemari:vm: the action is the first argument, all else comes in the environment:\n  OCF_RESOURCE_INSTANCE  the name of the resource\n${parameterHelp}`,
    )
    .example('pcs resource describe ocf:kemari:vm', 'the parameters and the advised operations')
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new AgentError('unknown-command', `${message ?? 'wrong usage'}: see kemari --help`);
    });
  for (const command of commands.filter(({ kind }) => kind !== 'internal')) {
    for (const [line, meaning] of command.examples ?? []) parser.example(line, meaning);
    parser.command(
      usageOf(command),
      command.summary,
      (one) => {
        for (const { name, summary } of command.arguments ?? []) {
          one.positional(name, { type: 'string', describe: summary });
        }
        for (const { name, summary } of command.switches ?? []) {
          one.option(name, { type: 'boolean', default: false, describe: summary });
        }
      },
      async (parsed: Readonly<Record<string, unknown>>) => {
        const given = (command.arguments ?? []).map(({ name }) => parsed[name]);
        const switches = (command.switches ?? [])
          .map(({ name }) => name)
          .filter((name) => parsed[name] === true);
        code = await command.run(env, {
          arguments: given.filter((value) => typeof value === 'string'),
          switches: new Set(switches),
        });
      },
    );
  }
  await parser.parseAsync();
  // The help is yargs': what a pipe has not taken yet would be lost when the process ends.
  await new Promise<void>((resolve) => {
    process.stdout.write('', () => {
      resolve();
    });
  });
  return code ?? 0;
}
