import { existsSync } from 'node:fs';
import { resourceName } from '../pacemaker/environment.js';
import { pathsOf, type Environment, type ResourcePaths } from '../common/paths.js';

/** What every action on a resource starts from. */
export interface ActionContext {
  readonly env: Environment;
  readonly resource: string;
  readonly paths: ResourcePaths;
}

export function contextOf(env: Environment): ActionContext {
  const resource = resourceName(env);
  return { env, resource, paths: pathsOf(resource, env) };
}

/** No run folder: nothing was started here since the boot. */
export function wasStarted(paths: ResourcePaths): boolean {
  return existsSync(paths.run_dir);
}
