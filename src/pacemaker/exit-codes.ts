import type { ErrorCode } from '../common/error.js';

/** OCF resource agent API 1.1, "return codes"; 190 and 191 since Pacemaker 2.0. */
export const exitCode = {
  ok: 0,
  generic: 1,
  arguments: 2,
  unimplemented: 3,
  permission: 4,
  installed: 5,
  configured: 6,
  not_running: 7,
  promoted: 8,
  failed_promoted: 9,
  degraded: 190,
  degraded_promoted: 191,
} as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/**
 * Pacemaker tries again elsewhere after 2, 4 and 5 (hard: this node only), nowhere after 6 (fatal: every node), and
 * here after 1 (soft). A config file and its host differ by node; an OCF parameter does not.
 */
export const exitCodeOf: Readonly<Record<ErrorCode, ExitCode>> = {
  'bad-parameter': exitCode.configured,
  'bad-config': exitCode.arguments,
  'missing-requirement': exitCode.installed,
  'not-permitted': exitCode.permission,
  'state-unusable': exitCode.generic,
  refused: exitCode.generic,
  'not-running': exitCode.not_running,
  'engine-failed': exitCode.generic,
  protocol: exitCode.generic,
  timeout: exitCode.generic,
  survivor: exitCode.generic,
  'unknown-command': exitCode.unimplemented,
};
