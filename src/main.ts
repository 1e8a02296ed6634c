import { answer } from './cli/answer.js';
import type { Program } from './program.js';

/**
 * What Pacemaker asks most is here, and what starts at once: the bundler makes this file one of its own, with the little
 * that it needs. All else is another file of the executable, which only who needs it loads.
 */
async function program(): Promise<Program> {
  return (await import('./load-program.js')).loadProgram();
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (rest.includes('--help')) return await (await program()).run(argv, process.env);
  switch (name) {
    case 'monitor':
      return await answer(async () =>
        (await import('./actions/monitor.js')).monitor(process.env, {
          monitorAlone: async (...known) => await (await program()).monitorAlone(...known),
          monitorDeeply: async (env) => await (await program()).monitorDeeply(env),
          monitorUnstarted: async (env) => await (await program()).monitorUnstarted(env),
        }),
      );
    case 'meta-data':
      return await answer(async () => (await import('./actions/meta-data.js')).metaData());
    default:
      return await (await program()).run(argv, process.env);
  }
}

void main(process.argv.slice(2)).then((code) => {
  process.exit(code);
});
