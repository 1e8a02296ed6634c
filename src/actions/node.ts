import { nodeName } from '../pacemaker/tools.js';
import type { Environment } from '../common/paths.js';

/** This node's name as the cluster knows it. @throws AgentError when nobody says */
export async function nodeOf(env: Environment): Promise<string> {
  const given = env['OCF_RESKEY_CRM_meta_on_node'];
  return given !== undefined && given !== '' ? given : await nodeName();
}
