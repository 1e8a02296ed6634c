// What a measure is.
import type { Findings } from '../report/findings.js';
import type { Settings } from '../settings.js';
import type { Stage } from '../stage.js';
import type { Yard } from '../yard/yard.js';

interface Named {
  /** For --only. */
  readonly name: string;
  readonly title: string;
  /** It compares settings and takes minutes: made only if it is asked for. */
  readonly onlyByName?: boolean;
  /** A quick run has no time for it. */
  readonly isLong?: boolean;
}

/** Works on the guests of a stage. */
export interface GuestMeasure extends Named {
  readonly on: 'small' | 'debian';
  readonly run: (stage: Stage, settings: Settings, findings: Findings) => Promise<void>;
}

/** Needs no guest of a stage. */
export interface OwnMeasure extends Named {
  readonly on: 'nothing';
  readonly run: (yard: Yard, settings: Settings, findings: Findings) => Promise<void>;
}

export type Measure = GuestMeasure | OwnMeasure;

/** Runs `step` one time after the other and collects what it gives. */
export async function repeated<T>(times: number, step: (round: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let round = 0; round < times; round += 1) results.push(await step(round));
  return results;
}
