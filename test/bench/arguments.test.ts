import { describe, expect, test } from 'vitest';
import { UsageError, parseArguments } from './arguments.js';
import { NAMES } from './measures/all.js';
import { FIELDS } from './report/fields.js';
import { FULL, QUICK } from './settings.js';

describe('the command line of the benchmark', () => {
  test('without a word it is the whole benchmark, for a person', () => {
    expect(parseArguments([], NAMES)).toEqual({
      ...{ settings: FULL, quick: false, json: false, only: [], sync_mode: undefined },
    });
  });

  test('every option is understood, in any order', () => {
    const words = ['--only', 'echo', '--json', '--sync-mode', 'event', '--only', 'redis', '--quick'];
    expect(parseArguments(words, NAMES)).toEqual({
      ...{ settings: QUICK, quick: true, json: true, only: ['echo', 'redis'], sync_mode: 'event' },
    });
  });

  test.each([
    [['--fast'], /does not know --fast; usage: npm run bench/],
    [['--only'], /--only needs one of: scan, pause, echo/],
    [['--only', 'ech'], /--only needs one of: scan/],
    [['--sync-mode', 'colo'], /--sync-mode needs one of: event, interval, adaptive/],
  ])('%j is refused in a sentence', (words, sentence) => {
    expect(() => parseArguments(words, NAMES)).toThrow(sentence);
    expect(() => parseArguments(words, NAMES)).toThrow(UsageError);
  });
});

test('every figure is found by a measure that there is, and names are given once', () => {
  expect(new Set(NAMES).size).toBe(NAMES.length);
  for (const { name, measure } of FIELDS) expect([name, NAMES.includes(measure)]).toEqual([name, true]);
});
