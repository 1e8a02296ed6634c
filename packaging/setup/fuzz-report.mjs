// What the command line of `npm run fuzz` says, and what the output of the fuzzers says.

/** The target that is the agent's parsers, all of them; the others are the engine's, and libFuzzer's. */
export const AGENT = 'agent';

export const usage = 'usage: npm run fuzz [-- [--seconds N] [--target NAME]... [--json] [--list]]';

/** Seconds for each target if nothing is said. */
const DEFAULT_SECONDS = 20;
const MOST_SECONDS = 24 * 3600;

/** @typedef {{seconds: number, targets: string[], json: boolean, list: boolean}} Wanted */

/**
 * @param {string[]} args
 * @returns {Wanted | {problem: string}}
 */
export function parseFuzzArguments(args) {
  const wanted = { seconds: DEFAULT_SECONDS, targets: [], json: false, list: false };
  const rest = args.flatMap((word) => {
    const [, option, value] = /^(--\w+)=(.*)$/.exec(word) ?? [];
    return option === undefined ? [word] : [option, value];
  });
  while (rest.length > 0) {
    const option = rest.shift();
    if (option === '--json' || option === '--list') {
      wanted[option.slice(2)] = true;
    } else if (option === '--seconds') {
      const value = rest.shift() ?? '';
      wanted.seconds = /^[1-9][0-9]{0,5}$/.test(value) ? Number(value) : NaN;
      if (!(wanted.seconds <= MOST_SECONDS)) {
        return { problem: `--seconds is "${value}": a whole number from 1 to ${MOST_SECONDS} is expected` };
      }
    } else if (option === '--target') {
      const value = rest.shift();
      if (value === undefined || !/^[a-z][a-z-]*$/.test(value)) {
        return { problem: `--target is "${value ?? ''}": a name is expected, see --list` };
      }
      wanted.targets.push(value);
    } else {
      return { problem: `"${option}" is not known` };
    }
  }
  return wanted;
}

/** What libFuzzer counted: inputs that were run, and places of the program that they reached. */
export function readStatistics(output) {
  const last = (pattern) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const done = last(/^Done (\d+) runs/gm);
  return { runs: done > 0 ? done : last(/^#(\d+)\s/gm), coverage: last(/\bcov: (\d+)/g) };
}

/** What the agent's tests counted: inputs that were run. Nobody counts places. */
export function readMutations(output) {
  return {
    runs: Number([...output.matchAll(/^seed \d+: (\d+) mutants$/gm)].at(-1)?.[1] ?? 0),
    coverage: null,
  };
}
