import { expect, test } from 'vitest';
import { planStop, shutdownTime } from '../../src/actions/plan-stop.js';
import { limits } from '../../src/common/limits.js';

test('of every time-out there is time for SIGKILL, and whatever comes before it fits before it', () => {
  for (let budget = 100; budget < 700_000; budget = Math.ceil(budget * 1.1)) {
    const plan = planStop(budget);
    const left = budget - plan.kill_at_ms;
    expect(left).toBeGreaterThan(Math.min(limits.kill_ms, budget / 3) - 1);
    expect(plan.orderly_until_ms).toBeLessThan(plan.kill_at_ms);
    // What is told of it when everybody is gone has its share.
    expect(plan.sweep_until_ms).toBeGreaterThan(plan.kill_at_ms);
    expect(budget - plan.sweep_until_ms).toBeGreaterThanOrEqual(left / 4);
    expect(plan.revive_ms).toBeLessThan(plan.orderly_until_ms);
    const shutdown = shutdownTime(plan, plan.orderly_until_ms - plan.revive_ms);
    expect(plan.revive_ms + shutdown + plan.supervisor_ms).toBeLessThanOrEqual(plan.orderly_until_ms);
  }
});

test.each([
  [117_000, 86_000, 30_000],
  [57_000, 26_000, 12_666],
  [9_000, 0, 1_500],
])('of %i ms the guest has %i and a supervisor that must be started again %i', (budget, shutdown, revive) => {
  const plan = planStop(budget);
  expect(shutdownTime(plan, plan.orderly_until_ms)).toBe(shutdown);
  expect(Math.floor(plan.revive_ms)).toBe(revive);
});
