import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, basename, dirname } from 'node:path';
import * as v from 'valibot';
import { engineSpec, type EngineSpec } from '../config/engine-spec.js';
import { logLevels, type LogLevel } from '../common/log-level.js';
import type { Tuning } from '../common/tuning.js';
import { AgentError, messageOf, quote, systemCodeOf } from '../common/error.js';
import type { ResourcePaths } from '../common/paths.js';

/** What a supervisor needs and cannot ask: written by `start`, read by each supervisor until `stop`. */
const launchRecord = v.strictObject({
  version: v.literal(1),
  resource: v.string(),
  node: v.string(),
  /** The other nodes that may have a replica, or have had the guest. */
  peers: v.array(v.string()),
  vm_uuid: v.string(),
  log_level: v.picklist(logLevels),
});
export type Launch = v.InferOutput<typeof launchRecord>;

/**
 * Makes the run folder with all that a supervisor needs in it, in one step (rename of a folder): of two starts at once
 * one makes it, and neither ever sees a half of it.
 * @throws AgentError state-unusable
 */
export async function createRunDir(paths: ResourcePaths, launch: Launch, spec: EngineSpec): Promise<void> {
  const aside = join(dirname(paths.run_dir), `.${launch.resource}.${process.pid}`);
  try {
    await mkdir(dirname(aside), { recursive: true, mode: 0o755 });
    await mkdir(aside, { mode: 0o700 });
    await writeFile(join(aside, basename(paths.spec)), `${JSON.stringify(spec, null, 2)}\n`, { mode: 0o600 });
    await writeFile(join(aside, basename(paths.launch)), `${JSON.stringify(launch)}\n`, { mode: 0o600 });
    await rename(aside, paths.run_dir);
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    const code = systemCodeOf(error);
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return;
    throw new AgentError('state-unusable', `${paths.run_dir} cannot be made: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** @throws AgentError not-running: nothing was started here. */
export async function readLaunch(path: string): Promise<Launch> {
  try {
    return v.parse(launchRecord, JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    const why = quote(messageOf(error));
    throw new AgentError('not-running', `${path} cannot be read (${why}): start the resource`, {
      cause: error,
    });
  }
}

/** What of a start can be changed later. */
export interface Reloadable {
  readonly tuning: Tuning;
  readonly log_level: LogLevel;
}

/** Changes what a later supervisor will read. @throws AgentError state-unusable */
export async function saveReload(paths: ResourcePaths, { tuning, log_level }: Reloadable): Promise<void> {
  const launch = await readLaunch(paths.launch);
  try {
    const spec = v.parse(engineSpec, JSON.parse(await readFile(paths.spec, 'utf8')));
    await replace(paths.spec, `${JSON.stringify({ ...spec, tuning }, null, 2)}\n`);
    await replace(paths.launch, `${JSON.stringify({ ...launch, log_level })}\n`);
  } catch (error) {
    throw new AgentError('state-unusable', `${paths.run_dir} cannot be changed: ${quote(messageOf(error))}`, {
      cause: error,
    });
  }
}

async function replace(path: string, content: string): Promise<void> {
  await writeFile(`${path}.new`, content, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
