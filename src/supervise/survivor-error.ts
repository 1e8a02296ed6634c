import { AgentError } from '../common/error.js';
import type { ProcessIdentity } from '../common/process-identity.js';

/** The one failure of stop and demote that must not be hidden: the guest may still run here. */
export function survivorError(resource: string, survivors: readonly ProcessIdentity[]): AgentError {
  const pids = survivors.map(({ pid }) => pid).join(', ');
  return new AgentError(
    'survivor',
    `processes ${pids} of ${resource} outlived SIGKILL (blocked in the kernel?): the node must be fenced`,
  );
}
