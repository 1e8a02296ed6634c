import { AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment } from '../common/paths.js';

/** @throws AgentError bad-parameter: an action without a resource. */
export function resourceName(env: Environment): string {
  const instance = env['OCF_RESOURCE_INSTANCE'];
  if (instance === undefined || instance === '') {
    throw new AgentError(
      'bad-parameter',
      'OCF_RESOURCE_INSTANCE is not set: Pacemaker sets it; by hand, set it to the name of the resource',
    );
  }
  // A globally unique clone's instances are called vm1:0 and vm1:1; here there is one per node.
  return instance.replace(/:\d+$/, '');
}

/** How long this action may take: Pacemaker's time-out less what answering takes. Milliseconds. */
export function actionBudget(env: Environment): number {
  const given = Number(env['OCF_RESKEY_CRM_meta_timeout']);
  const timeout = Number.isFinite(given) && given > 0 ? given : limits.action_ms;
  return Math.max(timeout - limits.action_margin_ms, timeout / 2);
}

/** A recurring monitor has an interval; a probe and a call by hand have none. */
export function isRecurring(env: Environment): boolean {
  return Number(env['OCF_RESKEY_CRM_meta_interval'] ?? 0) > 0;
}

/** How deep a monitor or a validation is to look: 0, 10, 20; the level of something that is no number is 0. */
export function checkLevel(env: Environment): number {
  const level = Number(env['OCF_CHECK_LEVEL'] ?? 0);
  return Number.isFinite(level) ? level : 0;
}
