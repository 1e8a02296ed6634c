// What the measures have found: figures, and lines of detail beside them.
import { ratios, summarize, type Summary } from '../statistics.js';
import { checkpointRow, pauseRow, pausesOf, type CheckpointRow, type PauseRow } from './checkpoints.js';
import type { Window } from '../yard/pair.js';
import { FIELDS, FIELD_NAMES, type FieldName, type Figures } from './fields.js';

/** One line of detail. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly plain?: Summary;
  /** Kemari's engine without a replica: everything passes through it, nothing waits. */
  readonly solo?: Summary;
  readonly guarded: Summary;
  /** Protected over unprotected, round by round, or what the line names. */
  readonly ratio?: Summary;
}

export class Findings {
  readonly rows: Row[] = [];
  readonly pauses: PauseRow[] = [];
  readonly checkpoints: CheckpointRow[] = [];
  readonly #figures = new Map<FieldName, number>();
  readonly #reasons = new Map<FieldName, string>();

  figure(name: FieldName, value: number): void {
    if (Number.isFinite(value)) this.#figures.set(name, value);
    else this.#reasons.set(name, `the measure gave ${value}`);
  }

  /** Says why the figures of a measure are missing. */
  missing(measure: string, reason: string): void {
    for (const field of FIELDS) {
      if (field.measure === measure && !this.#figures.has(field.name)) this.#reasons.set(field.name, reason);
    }
  }

  /** What the checkpoints of a load were like, one window per round. */
  load(
    what: string,
    windows: readonly Window[],
  ): { readonly pause: PauseRow; readonly checkpoint: CheckpointRow } {
    const pause = pauseRow(what, windows.map(pausesOf));
    const checkpoint = checkpointRow(what, windows);
    this.pauses.push(pause);
    this.checkpoints.push(checkpoint);
    return { pause, checkpoint };
  }

  /** A measure of the protected guest alone. */
  alone(what: string, unit: string, values: readonly number[]): Summary {
    const guarded = summarize(values);
    this.rows.push({ what, unit, guarded });
    return guarded;
  }

  /** A measure of the protected guest alone, in two ways. */
  over(what: string, unit: string, values: readonly number[], others: readonly number[]): void {
    this.rows.push({ what, unit, guarded: summarize(values), ratio: ratios(values, others) });
  }

  /** A measure of the same load on several guests; returns the ratio of the protected one to the unprotected one. */
  compared(what: string, unit: string, values: ReadonlyMap<string, readonly number[]>): Summary {
    const [plain = [], guarded = [], solo] = [values.get('plain'), values.get('guarded'), values.get('solo')];
    const ratio = ratios(guarded, plain);
    this.rows.push({
      ...{ what, unit, ratio, plain: summarize(plain), guarded: summarize(guarded) },
      ...(solo === undefined ? {} : { solo: summarize(solo) }),
    });
    return ratio;
  }

  /** All figures; null for what was not found. */
  get figures(): Figures {
    return Object.fromEntries(
      FIELD_NAMES.map((name) => [name, rounded(this.#figures.get(name) ?? null)]),
    ) as Record<FieldName, number | null>;
  }

  /** Why each missing figure is missing. */
  get reasons(): Partial<Record<FieldName, string>> {
    const missing = FIELD_NAMES.filter((name) => !this.#figures.has(name));
    return Object.fromEntries(
      missing.map((name) => [name, this.#reasons.get(name) ?? 'not measured in this run']),
    );
  }
}

function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(4));
}
