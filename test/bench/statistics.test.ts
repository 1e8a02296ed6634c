import { describe, expect, test, vi } from 'vitest';
import { alternate, orderOf, type Subject } from './rounds.js';
import { ratios, shown, summarize } from './statistics.js';

describe('a summary of rounds', () => {
  test('is their median and their spread, in whatever order they came', () => {
    expect(summarize([5, 1, 3])).toEqual({ median: 3, least: 1, most: 5, rounds: 3 });
    expect(summarize([4, 2]).median).toBe(3);
    expect(summarize([7])).toEqual({ median: 7, least: 7, most: 7, rounds: 1 });
  });

  test.each([
    [[], /no round/],
    [[1, NaN], /gave NaN/],
    [[1, Infinity], /gave Infinity/],
  ])('of %j is refused', (values, sentence) => {
    expect(() => summarize(values)).toThrow(sentence);
  });
});

describe('a ratio', () => {
  test('compares round with round: what disturbs both of a round does not show', () => {
    expect(ratios([50, 5, 500], [100, 10, 1000])).toMatchObject({ median: 0.5, least: 0.5, most: 0.5 });
  });

  test('of rounds that do not belong together, or of nothing, is refused', () => {
    expect(() => ratios([1, 2], [1])).toThrow(/2 rounds against 1/);
    expect(() => ratios([1], [0])).toThrow(/Infinity/);
  });
});

test.each([
  [0, '0'],
  [0.123456, '0.123'],
  [0.00091, '0.0009'],
  [1.2345, '1.23'],
  [12.345, '12.3'],
  [1234.5, '1235'],
  [NaN, 'NaN'],
])('%d is shown as %s', (value, text) => {
  expect(shown(value)).toBe(text);
});

describe('alternating rounds', () => {
  const subject = (name: string, journal: string[]): Subject => {
    const note = (what: string) => (): Promise<void> => {
      journal.push(`${name} ${what}`);
      return Promise.resolve();
    };
    const revive = (): Promise<boolean> => Promise.resolve(false);
    return { name, address: name, wake: note('wakes'), rest: note('rests'), revive };
  };

  test('every second round goes the other way', () => {
    expect([0, 1, 2].map((round) => orderOf(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'cba', 'abc']);
  });

  test('only the one that is measured is awake, and values stay with their rounds', async () => {
    const journal: string[] = [];
    let count = 0;
    const found = await alternate(2, [subject('a', journal), subject('b', journal)], ({ name }) => {
      journal.push(`${name} is measured`);
      return Promise.resolve((count += 1));
    });
    expect(found).toEqual(
      new Map([
        ['a', [1, 4]],
        ['b', [2, 3]],
      ]),
    );
    const turn = (name: string): string[] => [`${name} wakes`, `${name} is measured`, `${name} rests`];
    expect(journal).toEqual([...turn('a'), ...turn('b'), ...turn('b'), ...turn('a')]);
  });

  test('one whose measure fails rests all the same', async () => {
    const journal: string[] = [];
    const failing = alternate(1, [subject('a', journal)], () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(journal).toEqual(['a wakes', 'a rests']);
  });

  test('the round of one that had gone silent is made again, a few times at most', async () => {
    const journal: string[] = [];
    const one = { ...subject('a', journal), revive: () => Promise.resolve(true) };
    const measure = vi
      .fn<() => Promise<number>>()
      .mockRejectedValueOnce(new Error('silent'))
      .mockResolvedValue(7);
    await expect(alternate(1, [one], measure)).resolves.toEqual(new Map([['a', [7]]]));
    expect(journal).toEqual(['a wakes', 'a rests', 'a wakes', 'a rests']);

    measure.mockRejectedValue(new Error('silent'));
    await expect(alternate(1, [one], measure)).rejects.toThrow('silent');
    expect(measure).toHaveBeenCalledTimes(5);
  });
});
