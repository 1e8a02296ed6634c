import { expect, test } from 'vitest';
import { decideShown, FrozenSince, type ShownEvidence } from '../../src/supervise/decide-shown.js';

type State = NonNullable<ShownEvidence['engine']>['state'];

const progress = {
  percent: 43,
  round: 1,
  bytes: 1,
  bytes_per_second: 1,
  remaining_bytes: 1,
  remaining_seconds: null,
  brake_percent: 0,
};

function shown(state: State, more: Partial<ShownEvidence> = {}, lag_ms: number | null = null): string | null {
  const engine = { state, sync_progress: progress, guest_lag_ms: lag_ms, paused_for: null };
  return decideShown({ phase: 'running', engine, sync: 'protected', ...more });
}

test.each([
  ['protected', 'protected'],
  ['solo', 'solo'],
  ['frozen', 'frozen'],
  ['syncing', 'syncing 40%'],
  ['receiving', 'receiving 40%'],
  ['in-sync', 'in sync'],
  ['empty', 'empty'],
  ['handed-over', 'handed over'],
  ['parked', 'parked'],
  ['ended', 'powered off'],
] as const)('%s is shown as %s', (state, word) => {
  expect(shown(state)).toBe(word);
});

test('what is outdated or lost, and clocks that are behind, are named', () => {
  expect(shown('empty', { sync: 'outdated' })).toBe('outdated');
  expect(shown('protected', {}, 999)).toBe('protected');
  expect(shown('frozen', {}, 3200)).toBe('frozen, clocks 3 s behind');
  for (const paused_for of ['freeze', 'ack']) {
    const engine = { state: 'frozen', sync_progress: null, guest_lag_ms: 64_000, paused_for } as const;
    expect(shown('frozen', { engine })).toBe('frozen, paused');
  }
  expect(shown('protected', { phase: 'lost' })).toBe('lost');
  expect(decideShown({ phase: 'starting', engine: undefined, sync: 'none' })).toBeNull();
});

test('since when a guest has been frozen is shown as a moment, which no later look changes', () => {
  const since = Date.parse('2026-01-02T03:04:05.678Z');
  const clock = new FrozenSince();
  clock.see('protected', since - 1000);
  clock.see('frozen', since);
  clock.see('frozen', since + 60_000);
  expect(shown('frozen', { frozen_since: clock.since })).toBe('frozen since 2026-01-02 03:04:05Z');
  const engine = { state: 'frozen', sync_progress: null, guest_lag_ms: 9000, paused_for: 'freeze' } as const;
  expect(shown('frozen', { engine, frozen_since: clock.since })).toBe(
    'frozen since 2026-01-02 03:04:05Z, paused',
  );
  clock.see('protected', since + 70_000);
  expect(clock.since).toBeUndefined();
});

test('a supervisor that finds a guest frozen does not say since when', () => {
  const clock = new FrozenSince();
  clock.see('frozen', 5000);
  clock.see('frozen', 6000);
  expect(clock.since).toBeUndefined();
});
