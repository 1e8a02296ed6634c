// Pure statistics of rounds: medians and spreads, and the ratio of what was measured one after the other.
import { max, median, min } from 'simple-statistics';

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly rounds: number;
}

/** @throws when there is nothing to sum up, or something that is not a number */
export function summarize(values: readonly number[]): Summary {
  const list = [...values];
  if (list.length === 0) throw new Error('there is no round to sum up');
  const bad = list.find((value) => !Number.isFinite(value));
  if (bad !== undefined) throw new Error(`a round gave ${bad}, which is no measure`);
  return {
    median: median(list),
    least: min(list),
    most: max(list),
    rounds: list.length,
  };
}

/**
 * Value over base, round by round: both of a round had the same machine, and what it did beside them.
 * @throws when the rounds do not belong together
 */
export function ratios(values: readonly number[], bases: readonly number[]): Summary {
  if (values.length !== bases.length) throw new Error(`${values.length} rounds against ${bases.length}`);
  return summarize(values.map((value, round) => value / (bases[round] ?? NaN)));
}

/** Three digits that mean something. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 4));
}
