import type { Environment } from '../common/paths.js';
import { parameters } from '../pacemaker/parameters.js';

/** Whether a guest that is to end is asked first. What is wrong with a parameter must not keep anything from being stopped. */
export function isForced(env: Environment): boolean {
  const parsed = parameters.force_stop.kind.parse(env['OCF_RESKEY_force_stop'] ?? '');
  return 'value' in parsed && parsed.value;
}
