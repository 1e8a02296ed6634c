// What the checkpoints of one load were like: pauses by part, sizes, and who worked.
import type { Window } from '../yard/pair.js';
import { summarize, type Summary } from '../statistics.js';

/** What a pause is spent on, in order; status.pause_parts_us of an engine. */
export const PARTS = ['stop', 'save', 'drain', 'scan', 'copy', 'cont'] as const;
export type Part = (typeof PARTS)[number];

/** Median and 99th percentile of a round's pauses, ms. */
export interface Pause {
  readonly p50_ms: number;
  readonly p99_ms: number;
}

/** Pauses of one round. */
export interface Pauses {
  readonly whole: Pause;
  readonly parts: Readonly<Partial<Record<Part, Pause>>>;
}

/** One line: the pauses under one load, each the median of its rounds. */
export interface PauseRow extends Pauses {
  readonly load: string;
  /** Medians of the rounds. */
  readonly rounds: Summary;
}

/** One line: what the checkpoints of one load carried, and what the engines used; medians of the rounds. */
export interface CheckpointRow {
  readonly load: string;
  readonly per_second: number;
  readonly pages_p50: number;
  readonly bytes_each: number;
  /** Bytes on the wire per byte of dirty pages. */
  readonly encode_ratio: number;
  /** Shares of one processor. */
  readonly primary_cpu: number;
  readonly secondary_cpu: number;
  readonly primary_mib: number;
  readonly secondary_mib: number;
}

type Microseconds = { readonly p50: number; readonly p99: number } | null | undefined;
const inMs = (us: Microseconds): Pause => ({
  p50_ms: (us?.p50 ?? NaN) / 1000,
  p99_ms: (us?.p99 ?? NaN) / 1000,
});

/** The pauses of a window, as the engine has counted them. @throws when there were none */
export function pausesOf({ status }: Window): Pauses {
  const { pause_us, pause_parts_us } = status;
  if (!pause_us || !pause_parts_us) throw new Error('there was not one checkpoint in the measured time');
  const parts = PARTS.map((part) => [part, inMs(pause_parts_us[part])] as const);
  return { whole: inMs(pause_us), parts: Object.fromEntries(parts) };
}

const middle = (values: readonly number[]): number => summarize(values).median;
const middleOf = (pauses: readonly Pause[]): Pause => ({
  p50_ms: middle(pauses.map(({ p50_ms }) => p50_ms)),
  p99_ms: middle(pauses.map(({ p99_ms }) => p99_ms)),
});

export function pauseRow(load: string, rounds: readonly Pauses[]): PauseRow {
  const known = PARTS.map((part) => [part, rounds.flatMap(({ parts }) => parts[part] ?? [])] as const);
  return {
    load,
    whole: middleOf(rounds.map(({ whole }) => whole)),
    parts: Object.fromEntries(
      known.filter(([, list]) => list.length > 0).map(([part, list]) => [part, middleOf(list)]),
    ),
    rounds: summarize(rounds.map(({ whole }) => whole.p50_ms)),
  };
}

export function checkpointRow(load: string, windows: readonly Window[]): CheckpointRow {
  const of = (value: (window: Window) => number): number => middle(windows.map(value));
  return {
    load,
    per_second: of(({ checkpoints, seconds }) => checkpoints / seconds),
    pages_p50: of(({ status }) => status.dirty_pages?.p50 ?? NaN),
    bytes_each: of(({ bytes, checkpoints }) => bytes / checkpoints),
    encode_ratio: of(({ bytes, pages }) => bytes / (pages * 4096)),
    primary_cpu: of(({ primary_cpu }) => primary_cpu),
    secondary_cpu: of(({ secondary_cpu }) => secondary_cpu),
    primary_mib: of(({ primary_mib }) => primary_mib),
    secondary_mib: of(({ secondary_mib }) => secondary_mib),
  };
}
