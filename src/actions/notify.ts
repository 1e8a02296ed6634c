import { exitCode } from '../pacemaker/exit-codes.js';
import type { Environment } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';

/** What Pacemaker tells every instance before and after each operation on one, if the clone has notify=true. */
export interface Notification {
  /** Such as `pre-promote`. */
  readonly moment: string;
  /** Nodes on which this operation runs. */
  readonly subjects: readonly string[];
  /** Where the resource was promoted and unpromoted when this began. */
  readonly promoted: readonly string[];
  readonly unpromoted: readonly string[];
}

/** Pure. Pacemaker before 2.1 has the old names of the roles only. @returns undefined when it is no notification */
export function readNotification(env: Environment): Notification | undefined {
  const one = (name: string): string | undefined => env[`OCF_RESKEY_CRM_meta_notify_${name}`];
  const nodes = (...names: readonly string[]): readonly string[] =>
    (names.map(one).find((list) => list !== undefined && list.trim() !== '') ?? '')
      .split(/\s+/)
      .filter((node) => node !== '');
  const [type, operation] = [one('type'), one('operation')];
  if ((type !== 'pre' && type !== 'post') || operation === undefined) return undefined;
  return {
    moment: `${type}-${operation}`,
    subjects: nodes(`${operation}_uname`),
    promoted: nodes('promoted_uname', 'master_uname'),
    unpromoted: nodes('unpromoted_uname', 'slave_uname'),
  };
}

/**
 * Nothing here needs notifications, and with them a failover waits for five: who switches them on gets a line in Pacemaker's
 * log for each, and no error.
 */
export function notify(env: Environment): Promise<number> {
  const told = readNotification(env);
  const list = (nodes: readonly string[]): string => (nodes.length === 0 ? 'nowhere' : nodes.join(' and '));
  if (told)
    writeAll(
      2,
      `${told.moment} on ${list(told.subjects)}; promoted on ${list(told.promoted)}, unpromoted on ${list(told.unpromoted)}\n`,
    );
  return Promise.resolve(exitCode.ok);
}
