// The command line: npm run bench [-- --quick] [--json] [--only NAME]... [--sync-mode MODE], or [-- --agent] [--quick] [--json]
import { FULL, QUICK, type Settings } from './settings.js';

export const SYNC_MODES = ['event', 'interval', 'adaptive'] as const;
export type SyncMode = (typeof SYNC_MODES)[number];

export interface Arguments {
  readonly settings: Settings;
  readonly quick: boolean;
  readonly json: boolean;
  /** What the agent costs, and nothing else. */
  readonly agent: boolean;
  /** Names of the measures to make; all of them when it is empty. */
  readonly only: readonly string[];
  /** When the protected guest is checkpointed; the engine's default when it is not given. */
  readonly sync_mode: SyncMode | undefined;
}

export class UsageError extends Error {}

/** @throws UsageError in one sentence that says what would be right */
export function parseArguments(words: readonly string[], measures: readonly string[]): Arguments {
  const only: string[] = [];
  let quick = false;
  let json = false;
  let agent = false;
  let sync_mode: SyncMode | undefined;
  const left = [...words];
  const valueOf = (option: string, values: readonly string[]): string => {
    const value = left.shift();
    if (value === undefined || !values.includes(value)) {
      throw new UsageError(`${option} needs one of: ${values.join(', ')}`);
    }
    return value;
  };
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (word === '--quick') quick = true;
    else if (word === '--json') json = true;
    else if (word === '--agent') agent = true;
    else if (word === '--only') only.push(valueOf(word, measures));
    else if (word === '--sync-mode') {
      const value = valueOf(word, SYNC_MODES);
      sync_mode = SYNC_MODES.find((mode) => mode === value);
    } else {
      throw new UsageError(
        `bench does not know ${word}; usage: npm run bench [-- --quick] [--json] [--only NAME] [--sync-mode MODE] [--agent]`,
      );
    }
  }
  if (agent && (only.length > 0 || sync_mode !== undefined)) {
    throw new UsageError('--agent measures the agent alone: leave out --only and --sync-mode');
  }
  return { settings: quick ? QUICK : FULL, quick, json, agent, only, sync_mode };
}
