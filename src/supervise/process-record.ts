import { readFile, readdir, readlink, rename, writeFile } from 'node:fs/promises';
import * as v from 'valibot';
import type { ResourcePaths } from '../common/paths.js';
import { identify, type ProcessIdentity } from '../common/process-identity.js';

const identity = v.strictObject({
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  start_time: v.number(),
});
const processRecord = v.strictObject({
  supervisor: v.optional(identity),
  engine: v.optional(identity),
  qemu: v.optional(identity),
  /** The guest ran here when this was written: a monitor that finds nobody alive needs it. */
  promoted: v.boolean(),
});
export type ProcessRecord = v.InferOutput<typeof processRecord>;

/** No fsync: the run folder does not outlive the kernel that the processes run on. */
export async function writeProcessRecord(paths: ResourcePaths, record: ProcessRecord): Promise<void> {
  const aside = `${paths.processes}.new`;
  await writeFile(aside, JSON.stringify(record), { mode: 0o600 });
  await rename(aside, paths.processes);
}

/** @returns an empty record when there is none, or none that can be read: `stop` must go on. */
export async function readProcessRecord(paths: ResourcePaths): Promise<ProcessRecord> {
  try {
    return v.parse(processRecord, JSON.parse(await readFile(paths.processes, 'utf8')));
  } catch {
    return { promoted: false };
  }
}

/**
 * The resource's processes by their exact arguments, for when the run folder is gone or a crash came before the
 * record. Only those of this mount namespace: the same paths in another container are another host's.
 */
export async function findProcesses(
  paths: ResourcePaths,
  kind?: 'supervisor' | 'engine',
): Promise<readonly ProcessIdentity[]> {
  const here = await readlink('/proc/self/ns/mnt').catch(() => undefined);
  const found: ProcessIdentity[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const argv = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const ours =
      (kind !== 'engine' && hasPair(argv, 'supervise', paths.run_dir)) ||
      (kind !== 'supervisor' && hasPair(argv, '--spec', paths.spec));
    if (!ours || (await readlink(`/proc/${entry}/ns/mnt`).catch(() => undefined)) !== here) continue;
    const process_ = identify(pid);
    if (process_) found.push(process_);
  }
  return found;
}

function hasPair(argv: readonly string[], first: string, second: string): boolean {
  const index = argv.indexOf(first);
  return index > 0 && argv[index + 1] === second;
}

/** The direct children of a process: QEMU, before the engine has told its pid. */
export async function childrenOf(pid: number): Promise<readonly ProcessIdentity[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => '')),
  );
  return lists
    .flatMap((list) => list.split(' '))
    .filter((text) => text !== '')
    .map((text) => identify(Number(text)))
    .filter((child) => child !== undefined);
}
