import { describe, expect, test } from 'vitest';
import { canBeAsked, isGuestsFault, OutputFlow, type Flow } from '../../src/supervise/decide-sickness.js';
import { engines } from '../fixtures/evidence.js';

const flow = (change: Partial<Flow> = {}): Flow => ({
  flowing_ms: 60_000,
  braked: false,
  generation: 3,
  ...change,
});

describe('whose fault a failed script is', () => {
  test('the guest’s, if its outputs went all the time', () => {
    expect(isGuestsFault(flow(), flow({ flowing_ms: 65_000 }), 5000)).toBe(true);
  });

  test.each<[string, Flow, Flow]>([
    ['its outputs wait now', flow(), flow({ flowing_ms: null })],
    ['they waited when it was asked', flow({ flowing_ms: null }), flow()],
    ['they waited meanwhile', flow(), flow({ flowing_ms: 4000 })],
    ['they waited just before', flow({ flowing_ms: 100 }), flow({ flowing_ms: 5100 })],
    ['it was braked', flow({ braked: true }), flow()],
    ['it is braked', flow(), flow({ braked: true })],
    ['it is another generation', flow(), flow({ generation: 4 })],
  ])('nobody’s, if %s', (_, before, after) => {
    expect(isGuestsFault(before, after, 5000)).toBe(false);
  });

  test('whatever takes time, nothing that was not asked can be sick', () => {
    for (const flowing_ms of [null, 0, 1, 3000, 1e6])
      for (const braked of [false, true])
        for (const took of [0, 1, 5000, 1e6]) {
          const one = flow({ flowing_ms, braked });
          if (isGuestsFault(one, one, took)) {
            expect(canBeAsked(one)).toBe(true);
            expect(flowing_ms).toBeGreaterThan(took);
          }
        }
  });
});

test('outputs flow from the first state in which they do until the first in which they do not', () => {
  for (const { state } of engines) {
    const seen = new OutputFlow();
    seen.see('solo', 1000);
    seen.see(state, 2000);
    const flows = ['solo', 'syncing', 'protected'].includes(state);
    expect([state, seen.flowingMs(3000)]).toEqual([state, flows ? 2000 : null]);
    seen.see('protected', 4000);
    expect(seen.flowingMs(5000)).toBe(flows ? 4000 : 1000);
  }
  expect(new OutputFlow().flowingMs(1)).toBeNull();
});
