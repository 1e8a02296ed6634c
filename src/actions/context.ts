import { existsSync } from 'node:fs';
import { resourceName } from '../pacemaker/environment.js';
import { isFolderName, pathsOf, type Environment, type ResourcePaths } from '../common/paths.js';

/** What every action on a resource starts from. */
export interface ActionContext {
  readonly env: Environment;
  readonly resource: string;
  readonly paths: ResourcePaths;
}

/** @throws AgentError bad-parameter: a name that no start takes */
export function contextOf(env: Environment): ActionContext {
  const resource = resourceName(env);
  return { env, resource, paths: pathsOf(resource, env) };
}

/**
 * For a probe and a stop, which Pacemaker orders of whatever somebody has called a resource, and fences a node for if they fail.
 *
 * @returns undefined: a name that no start takes, so nothing of it can run
 */
export function pathsIfStartable(env: Environment): ResourcePaths | undefined {
  const resource = resourceName(env);
  return isFolderName(resource) ? pathsOf(resource, env) : undefined;
}

/** No run folder: nothing was started here since the boot, or somebody has taken it away. */
export function wasStarted(paths: ResourcePaths): boolean {
  return existsSync(paths.run_dir);
}
