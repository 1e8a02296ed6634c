// The results for a person.
import Table from 'cli-table3';
import { shown, type Summary } from '../statistics.js';
import { PARTS, type CheckpointRow, type Pause, type PauseRow } from './checkpoints.js';
import type { Row } from './findings.js';
import type { Verdict } from './fields.js';

const PLAIN_STYLE = { head: [], border: [], compact: true };
const WORDS: Readonly<Record<Verdict['outcome'], string>> = {
  met: 'met',
  missed: 'MISSED',
  reported: '',
  'not measured': 'not measured',
};

/** Each figure with its target, and whether it was met. */
export function targetsTable(verdicts: readonly Verdict[]): string {
  const table = new Table({ head: ['figure', 'value', 'unit', 'to reach', ''], style: PLAIN_STYLE });
  for (const { field, value, wanted, outcome } of verdicts) {
    table.push([field.title, value === null ? '-' : shown(value), field.unit, wanted, WORDS[outcome]]);
  }
  return table.toString();
}

/** Every measure with its spread over the rounds. */
export function detailsTable(rows: readonly Row[]): string {
  const table = new Table({
    head: ['measure', 'unit', 'unprotected', 'solo', 'protected', 'ratio (least - most)'],
    style: PLAIN_STYLE,
  });
  for (const { what, unit, plain, solo, guarded, ratio } of rows) {
    table.push([what, unit, median(plain), median(solo), spread(guarded), ratio ? spread(ratio) : '']);
  }
  return table.toString();
}

/** The same of measures that have nothing beside them. */
export function spreadsTable(rows: readonly Row[]): string {
  const table = new Table({ head: ['measure', 'unit', 'median (least - most)'], style: PLAIN_STYLE });
  for (const { what, unit, guarded } of rows) table.push([what, unit, spread(guarded)]);
  return table.toString();
}

/** Pauses by part: p50 / p99 in ms. */
export function pausesTable(rows: readonly PauseRow[]): string {
  const table = new Table({ head: ['load', 'pause', ...PARTS], style: PLAIN_STYLE });
  const cell = (pause: Pause | undefined): string =>
    pause ? `${pause.p50_ms.toFixed(2)} / ${pause.p99_ms.toFixed(2)}` : '';
  for (const { load, whole, parts } of rows) {
    table.push([load, cell(whole), ...PARTS.map((part) => cell(parts[part]))]);
  }
  return table.toString();
}

/** What checkpoints carry, and what the engines use: primary + secondary. */
export function checkpointsTable(rows: readonly CheckpointRow[]): string {
  const head = [
    'load',
    'checkpoints/s',
    'pages',
    'bytes each',
    'sent per dirty byte',
    'processor',
    'memory, MiB',
  ];
  const table = new Table({ head, style: PLAIN_STYLE });
  for (const row of rows) {
    const percent = (share: number): string => `${Math.round(share * 100)}%`;
    table.push([
      row.load,
      shown(row.per_second),
      shown(row.pages_p50),
      Math.round(row.bytes_each).toString(),
      shown(row.encode_ratio),
      `${percent(row.primary_cpu)} + ${percent(row.secondary_cpu)}`,
      `${shown(row.primary_mib)} + ${shown(row.secondary_mib)}`,
    ]);
  }
  return table.toString();
}

function median(summary: Summary | undefined): string {
  return summary ? shown(summary.median) : '';
}

function spread(summary: Summary): string {
  const { median: middle, least, most, rounds } = summary;
  return rounds === 1 ? shown(middle) : `${shown(middle)} (${shown(least)} - ${shown(most)})`;
}
