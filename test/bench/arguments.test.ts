import { describe, expect, test } from 'vitest';
import { AGENT } from './agent/measure.js';
import { UsageError, parseArguments } from './arguments.js';
import { NAMES } from './measures/all.js';
import { FIELDS } from './report/fields.js';
import { FULL, QUICK } from './settings.js';

describe('the command line of the benchmark', () => {
  test('without a word it is the whole benchmark, for a person', () => {
    expect(parseArguments([], NAMES)).toEqual({
      ...{ settings: FULL, quick: false, json: false, agent: false, only: [], sync_mode: undefined },
    });
  });

  test('every option is understood, in any order', () => {
    const words = ['--only', 'echo', '--json', '--sync-mode', 'event', '--only', 'redis', '--quick'];
    expect(parseArguments(words, NAMES)).toEqual({
      ...{
        settings: QUICK,
        quick: true,
        json: true,
        agent: false,
        only: ['echo', 'redis'],
        sync_mode: 'event',
      },
    });
    expect(parseArguments(['--json', '--agent'], NAMES)).toMatchObject({ json: true, agent: true });
  });

  test.each([
    [['--fast'], /does not know --fast; usage: npm run bench/],
    [['--only'], /--only needs one of: scan, pause, echo/],
    [['--only', 'ech'], /--only needs one of: scan/],
    [['--agent', '--only', 'echo'], /--agent measures the agent alone: leave out --only/],
    [['--sync-mode', 'colo'], /--sync-mode needs one of: event, interval, adaptive/],
  ])('%j is refused in a sentence', (words, sentence) => {
    expect(() => parseArguments(words, NAMES)).toThrow(sentence);
    expect(() => parseArguments(words, NAMES)).toThrow(UsageError);
  });
});

test('every figure is found by a measure that there is, and names are given once', () => {
  const names = [...NAMES, ...AGENT.map(({ name }) => name)];
  expect(new Set(names).size).toBe(names.length);
  for (const { name, measure } of FIELDS) expect([name, names.includes(measure)]).toEqual([name, true]);
});
