import { describe, expect, test } from 'vitest';
import { summarize } from '../statistics.js';
import { FIELD_NAMES, judge, type FieldName, type Figures } from './fields.js';
import { Findings } from './findings.js';
import { plot, shareOf } from './plot.js';
import { detailsTable, pausesTable, targetsTable } from './table.js';

function figures(some: Partial<Record<FieldName, number>>): Figures {
  return Object.fromEntries(FIELD_NAMES.map((name) => [name, some[name] ?? null])) as Record<
    FieldName,
    number | null
  >;
}

function outcomeOf(name: FieldName, some: Partial<Record<FieldName, number>>): string | undefined {
  return judge(figures(some)).find(({ field }) => field.name === name)?.outcome;
}

describe('a figure', () => {
  test.each([
    ['echo1_ratio', { echo1_ratio: 0.3 }, 'met'],
    ['echo1_ratio', { echo1_ratio: 0.299 }, 'missed'],
    ['pause_2500_p50_ms', { pause_2500_p50_ms: 3 }, 'met'],
    ['pause_2500_p50_ms', { pause_2500_p50_ms: 3.01 }, 'missed'],
    ['pause_64_p50_ms', { floor_p50_ms: 0.4, pause_64_p50_ms: 0.5 }, 'met'],
    ['pause_64_p50_ms', { floor_p50_ms: 0.4, pause_64_p50_ms: 0.51 }, 'missed'],
    ['pause_64_p50_ms', { pause_64_p50_ms: 0.5 }, 'reported'],
    ['floor_p50_ms', { floor_p50_ms: 0.4 }, 'reported'],
    ['baseline_gbps', {}, 'not measured'],
  ] as const)('%s of %j is %s', (name, some, outcome) => {
    expect(outcomeOf(name, some)).toBe(outcome);
  });
});

describe('findings', () => {
  test('have every figure, and a reason for each that is missing', () => {
    const findings = new Findings();
    findings.figure('echo1_ratio', 0.123456);
    findings.figure('cpu_ratio', NaN);
    findings.missing('echo', 'the guest did not answer');
    expect(Object.keys(findings.figures)).toEqual([...FIELD_NAMES]);
    expect(findings.figures).toMatchObject({ echo1_ratio: 0.1235, echo16_ratio: null, cpu_ratio: null });
    expect(findings.reasons).toMatchObject({
      echo16_ratio: 'the guest did not answer',
      cpu_ratio: 'the measure gave NaN',
      redis_ratio: 'not measured in this run',
    });
    expect(findings.reasons).not.toHaveProperty('echo1_ratio');
  });

  test('compare guests round by round', () => {
    const findings = new Findings();
    const rounds = { plain: [10, 20], solo: [9, 18], guarded: [5, 10] };
    expect(findings.compared('echo', '/s', new Map(Object.entries(rounds))).median).toBe(0.5);
    expect(findings.rows).toMatchObject([{ what: 'echo', plain: { median: 15 }, solo: { median: 13.5 } }]);
  });
});

test('the tables say what was measured, with its spread, and what was missed', () => {
  const targets = targetsTable(judge(figures({ echo1_ratio: 0.1, cpu_ratio: 0.95 })));
  expect(targets).toMatch(/echo rate, 1 connection .* 0\.100 .* ≥ 0\.3 .* MISSED/);
  expect(targets).toMatch(/computing, idle network .* 0\.950 .* ≥ 0\.9 .* met/);
  expect(targets).toMatch(/baseline copy .* - .* ≥ 1 .* not measured/);
  expect(targets).toMatch(/pause, at most 64 dirty pages .* ≤ 1\.25 × floor/);
  const rows = [{ what: 'echo', unit: '/s', plain: summarize([9]), guarded: summarize([1, 2, 6]) }];
  expect(detailsTable(rows)).toMatch(/echo .* 9\.00 .* 2\.00 \(1\.00 - 6\.00\)/);
  const pause = { p50_ms: 0.5, p99_ms: 1.25 };
  const pauses = pausesTable([
    { load: 'floor', whole: pause, parts: { stop: pause }, rounds: summarize([1]) },
  ]);
  expect(pauses).toMatch(/floor .* 0\.50 \/ 1\.25 .* 0\.50 \/ 1\.25/);
});

describe('the picture', () => {
  const verdicts = judge(
    figures({ floor_p50_ms: 0.4, pause_64_p50_ms: 0.6, echo1_ratio: 0.6, scan_16gib_ms: 20 }),
  );
  const share = (name: FieldName): number | undefined => {
    const verdict = verdicts.find(({ field }) => field.name === name);
    return verdict && shareOf(verdict, 0.4);
  };

  test('a bar is the share of the bound that a figure takes', () => {
    expect(share('pause_64_p50_ms')).toBeCloseTo(1.2);
    expect(share('echo1_ratio')).toBeCloseTo(0.5);
    expect(share('scan_16gib_ms')).toBeCloseTo(10);
    expect(share('floor_p50_ms')).toBeUndefined();
    expect(share('baseline_gbps')).toBeUndefined();
  });

  test('has one bar for each figure with a target, and no mark-up of a title', () => {
    const picture = plot(verdicts, 'a < b & c');
    expect(picture.match(/<rect x=/g)).toHaveLength(3);
    expect(picture).toContain('a &lt; b &amp; c');
    expect(picture).not.toMatch(/NaN|undefined/);
  });
});
