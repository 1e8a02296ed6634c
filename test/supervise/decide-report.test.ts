import { expect, test } from 'vitest';
import { limits } from '../../src/common/limits.js';
import { decideReport } from '../../src/supervise/decide-report.js';

const replica = { phase: 'lost', was_promoted: false, controller: 'S_IDLE', since_loss_ms: 0 } as const;

test('a replica that is lost while nothing is due is reported', () => {
  expect(decideReport(replica)).toBe('report');
});

test('what was promoted is never reported: it would be started here before the replica is promoted', () => {
  for (const controller of ['S_IDLE', 'S_TRANSITION_ENGINE', undefined])
    expect(decideReport({ ...replica, was_promoted: true, controller })).toBe('never');
});

test.each(['starting', 'running', 'failed', 'stopping'] as const)(
  'nothing is reported of one that is %s',
  (phase) => {
    expect(decideReport({ ...replica, phase })).toBe('never');
  },
);

test.each(['S_TRANSITION_ENGINE', 'S_POLICY_ENGINE', 'S_ELECTION', undefined])(
  'a controller at %s is waited for, and not for ever',
  (controller) => {
    expect(decideReport({ ...replica, controller })).toBe('wait');
    expect(decideReport({ ...replica, controller, since_loss_ms: limits.report_wait_ms })).toBe('never');
  },
);
