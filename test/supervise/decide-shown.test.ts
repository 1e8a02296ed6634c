import { expect, test } from 'vitest';
import { decideShown, type ShownEvidence } from '../../src/supervise/decide-shown.js';

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
  const engine = {
    state: 'frozen',
    sync_progress: null,
    guest_lag_ms: 64_000,
    paused_for: 'freeze',
  } as const;
  expect(shown('frozen', { engine })).toBe('frozen, paused');
  expect(shown('protected', { phase: 'lost' })).toBe('lost');
  expect(decideShown({ phase: 'starting', engine: undefined, sync: 'none' })).toBeNull();
});
