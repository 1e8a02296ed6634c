import { existsSync } from 'node:fs';
import { readVm } from '../config/read-config.js';
import { checkRequirements } from '../config/requirements.js';
import { syncEnds } from '../config/sync-ends.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { checkLevel } from '../pacemaker/environment.js';
import { readParameters } from '../pacemaker/parameters.js';
import { AgentError } from '../common/error.js';
import { libraryDir, type Environment } from '../common/paths.js';
import { join } from 'node:path';
import { contextOf } from './context.js';
import { addressesOf } from './sync-addresses.js';

/**
 * Level 0 judges the parameters, which are the same everywhere: the tool that creates the resource may run on a node
 * without the VM's files. Level 10 judges this host too. Neither asks for meta attributes: they come after creation.
 */
export async function validateAll(env: Environment): Promise<number> {
  const values = readParameters(env);
  // Whoever asks before there is a resource gives no name.
  if ((env['OCF_RESOURCE_INSTANCE'] ?? '') !== '') contextOf(env);
  if (checkLevel(env) < 10) return exitCode.ok;
  await checkRequirements(
    await readVm(values.config, { qemu_commandline: values.allow_qemu_commandline }),
    values,
  );
  const libraries = libraryDir(env);
  for (const file of ['kemari-engine', 'libkemari_preload.so']) {
    if (!existsSync(join(libraries, file))) {
      throw new AgentError(
        'missing-requirement',
        `${join(libraries, file)} does not exist: install kemari again`,
      );
    }
  }
  const node = env['OCF_RESKEY_CRM_meta_on_node'];
  if (node !== undefined && node !== '') {
    syncEnds(await addressesOf(values), values.sync_port, node);
  }
  return exitCode.ok;
}
