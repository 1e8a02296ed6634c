// The figures that the benchmark is about, and what each has to reach.

export interface Field {
  readonly name: FieldName;
  readonly title: string;
  readonly unit: string;
  /** What to reach; a figure without it is only reported. May depend on others of the same run. */
  readonly target?: Target;
  /** Which measure finds it. */
  readonly measure: string;
}

export interface Target {
  readonly most?: number;
  readonly least?: number;
  /** The bound is that many times another figure of this run. */
  readonly times?: FieldName;
}

export const FIELD_NAMES = [
  'floor_p50_ms',
  'pause_64_p50_ms',
  'pause_2500_p50_ms',
  'echo1_ratio',
  'echo16_ratio',
  'cpu_ratio',
  'redis_ratio',
  'http_ratio',
  'bulk_ratio',
  'interval20_cpu_ratio',
  'interval20_redis_ratio',
  'interval20_http_ratio',
  'interval20_bulk_ratio',
  'baseline_gbps',
  'scan_16gib_ms',
  'promote_to_packet_ms',
  'promote_to_answer_ms',
  'encode_ratio',
  'monitor_ms',
  'monitor_cpu_ms',
  'monitor_of_virtualdomain',
  'virtualdomain_ms',
  'metadata_ms',
  'node_ms',
  'supervisor_mib',
  'supervisor_cpu_percent',
] as const;
export type FieldName = (typeof FIELD_NAMES)[number];

const times = 'times the unprotected';
const AGENT_CALLS = 'agent-calls';
const AGENT_SUPERVISOR = 'agent-supervisor';
export const FIELDS: readonly Field[] = [
  { name: 'floor_p50_ms', title: 'stop, save and cont alone', unit: 'ms', measure: 'pause' },
  {
    ...{ name: 'pause_64_p50_ms', title: 'pause, at most 64 dirty pages', unit: 'ms', measure: 'pause' },
    target: { most: 1.25, times: 'floor_p50_ms' },
  },
  {
    ...{ name: 'pause_2500_p50_ms', title: 'pause, 2,500 dirty pages', unit: 'ms', measure: 'pause' },
    target: { most: 3 },
  },
  {
    ...{ name: 'echo1_ratio', title: 'echo rate, 1 connection', unit: times, measure: 'echo' },
    target: { least: 0.3 },
  },
  {
    ...{ name: 'echo16_ratio', title: 'echo rate, 16 connections', unit: times, measure: 'echo' },
    target: { least: 0.6 },
  },
  {
    ...{ name: 'cpu_ratio', title: 'computing, idle network', unit: times, measure: 'cpu' },
    target: { least: 0.9 },
  },
  {
    ...{
      name: 'redis_ratio',
      title: 'redis-benchmark, the worse of SET and GET',
      unit: times,
      measure: 'redis',
    },
    target: { least: 0.4 },
  },
  { name: 'http_ratio', title: 'HTTP requests', unit: times, measure: 'http' },
  { name: 'bulk_ratio', title: 'bulk transfer, the worse way', unit: times, measure: 'bulk' },
  {
    ...{ name: 'interval20_cpu_ratio', title: 'computing, a checkpoint every 20 ms', unit: times },
    measure: 'interval',
    target: { least: 0.9 },
  },
  {
    ...{ name: 'interval20_redis_ratio', title: 'redis, a checkpoint every 20 ms', unit: times },
    measure: 'interval-services',
    target: { least: 0.9 },
  },
  {
    ...{ name: 'interval20_http_ratio', title: 'HTTP, a checkpoint every 20 ms', unit: times },
    measure: 'interval-services',
    target: { least: 0.9 },
  },
  {
    ...{ name: 'interval20_bulk_ratio', title: 'bulk transfer, a checkpoint every 20 ms', unit: times },
    measure: 'interval-services',
    target: { least: 0.9 },
  },
  {
    ...{ name: 'baseline_gbps', title: 'baseline copy', unit: 'GB/s', measure: 'baseline' },
    target: { least: 1 },
  },
  {
    ...{ name: 'scan_16gib_ms', title: 'scan of 16 GiB, mostly cold', unit: 'ms', measure: 'scan' },
    target: { most: 2 },
  },
  {
    ...{ name: 'promote_to_packet_ms', title: "promote order to the guest's own first packet", unit: 'ms' },
    measure: 'promote',
    target: { most: 25 },
  },
  {
    ...{ name: 'promote_to_answer_ms', title: 'promote order to an answer to a ping', unit: 'ms' },
    measure: 'promote',
    target: { most: 25 },
  },
  { name: 'encode_ratio', title: 'bytes on the wire per byte of dirty pages', unit: '', measure: 'pause' },
  {
    ...{ name: 'monitor_ms', title: 'monitor', unit: 'ms', measure: AGENT_CALLS },
    target: { most: 25 },
  },
  {
    ...{ name: 'monitor_cpu_ms', title: 'monitor, processor', unit: 'ms', measure: AGENT_CALLS },
    target: { most: 25 },
  },
  {
    ...{ name: 'monitor_of_virtualdomain', title: 'monitor, of that of VirtualDomain', unit: 'times' },
    measure: AGENT_CALLS,
    target: { most: 1 },
  },
  { name: 'virtualdomain_ms', title: 'monitor of VirtualDomain', unit: 'ms', measure: AGENT_CALLS },
  { name: 'metadata_ms', title: 'meta-data', unit: 'ms', measure: AGENT_CALLS, target: { most: 30 } },
  { name: 'node_ms', title: 'node, of nothing', unit: 'ms', measure: AGENT_CALLS },
  {
    ...{ name: 'supervisor_mib', title: "a supervisor's memory", unit: 'MiB', measure: AGENT_SUPERVISOR },
    target: { most: 70 },
  },
  {
    ...{ name: 'supervisor_cpu_percent', title: 'a supervisor at rest, processor', unit: '%' },
    measure: AGENT_SUPERVISOR,
    target: { most: 0.3 },
  },
];

export type Figures = Readonly<Record<FieldName, number | null>>;

export interface Verdict {
  readonly field: Field;
  readonly value: number | null;
  /** What was to be reached, as text; empty when nothing was. */
  readonly wanted: string;
  readonly outcome: 'met' | 'missed' | 'reported' | 'not measured';
}

/** Judges figures by their targets. */
export function judge(figures: Figures): Verdict[] {
  return FIELDS.map((field) => judgeOne(field, figures));
}

function judgeOne(field: Field, figures: Figures): Verdict {
  const value = figures[field.name];
  const { most, least, times: of } = field.target ?? {};
  const base = of === undefined ? 1 : figures[of];
  const bound = (limit: number | undefined): number | undefined =>
    limit === undefined || base === null ? undefined : limit * base;
  const [atMost, atLeast] = [bound(most), bound(least)];
  const text = (word: string, limit: number | undefined): string =>
    limit === undefined ? '' : `${word} ${limit}${of === undefined ? '' : ` × ${of.replace(/_.*/, '')}`}`;
  const wanted = text('≤', most) || text('≥', least);
  if (value === null) return { field, value, wanted, outcome: 'not measured' };
  if (atMost === undefined && atLeast === undefined) {
    // Its base was not measured: nothing can be said of it.
    return { field, value, wanted, outcome: 'reported' };
  }
  const met = value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity);
  return { field, value, wanted, outcome: met ? 'met' : 'missed' };
}
