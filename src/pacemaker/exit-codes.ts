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

/** What each says of this agent, for the man page. */
export const exitMeanings: Readonly<Record<ExitCode, string>> = {
  0: 'Done; monitor: unpromoted, the replica is complete, or there is none yet, or the guest is parked here.',
  1: 'Failed here and now; monitor: the engine of an unpromoted node hangs or does not answer.',
  2: 'The domain XML is missing or wrong on this node, or no address of it is known.',
  3: 'No such action.',
  4: 'start: the effective user is not root.',
  5: 'A program, file or ability of this host is missing.',
  6: "A parameter, or the resource's name, is wrong on every node; fencing is turned off in the cluster.",
  7: 'Nothing runs here, a start failed, a replica was lost, or the guest has powered itself off.',
  8: 'monitor: promoted, the guest is protected, or its outputs are held (frozen).',
  9: 'monitor: promoted, the guest is lost or sick, or its engine hangs or does not answer.',
  190: 'recurring monitor, unpromoted: the replica takes long to be built or is outdated, or its loss is about to be told.',
  191: 'recurring monitor, promoted: the guest runs without a complete replica, or is paused (freeze_timeout).',
};

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
