import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { logLevels } from '../pacemaker/parameters.js';
import { writeDurably } from '../shared/durable-file.js';
import { AgentError, messageOf } from '../shared/error.js';
import type { ResourcePaths } from '../shared/paths.js';

/** What a supervisor needs and cannot ask: written by `start`, read by each supervisor until `stop`. */
const launchRecord = v.strictObject({
  version: v.literal(1),
  resource: v.string(),
  node: v.string(),
  peer: v.string(),
  vm_uuid: v.string(),
  log_level: v.picklist(logLevels),
});
export type Launch = v.InferOutput<typeof launchRecord>;

export async function writeLaunch(paths: ResourcePaths, launch: Launch): Promise<void> {
  await writeDurably(paths.launch, `${JSON.stringify(launch)}\n`, 0o600);
}

/** @throws AgentError not-running: nothing was started here. */
export async function readLaunch(path: string): Promise<Launch> {
  try {
    return v.parse(launchRecord, JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new AgentError('not-running', `${path} cannot be read (${messageOf(error)}): start the resource`, {
      cause: error,
    });
  }
}
