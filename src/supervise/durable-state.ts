import { mkdir, open, readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { writeDurably } from '../common/durable-file.js';
import { AgentError, messageOf, quote, systemCodeOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { ResourcePaths } from '../common/paths.js';

/**
 * What this node knows about the guest's history after a crash: the truth that scores, promotion and solo rest on.
 *
 *   none ── promote ──► solo ──► protected ──► (solo | outdated | clean)
 *
 * sync: none       never had the guest
 *       protected  a replica of the last generation seen here was made, or was being made: the other node may have gone on
 *       solo       this node's guest went on without a replica
 *       outdated   the other node has, or may have, a newer guest
 *       clean      the guest was ended in order here, nothing newer exists
 */
export const durableState = v.strictObject({
  version: v.literal(1),
  vm_uuid: v.pipe(v.string(), v.uuid()),
  generation: v.pipe(v.number(), v.integer(), v.minValue(0)),
  owner: v.nullable(v.string()),
  role: v.picklist(['primary', 'secondary']),
  sync: v.picklist(['none', 'protected', 'solo', 'outdated', 'clean']),
  boot_id: v.string(),
});
export type DurableState = v.InferOutput<typeof durableState>;
export type SyncWord = DurableState['sync'];

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

export function initialState(vmUuid: string): DurableState {
  return {
    version: 1,
    vm_uuid: vmUuid,
    generation: 0,
    owner: null,
    role: 'secondary',
    sync: 'none',
    boot_id: bootId(),
  };
}

export function sameState(one: DurableState, other: DurableState): boolean {
  return (
    one.vm_uuid === other.vm_uuid &&
    one.generation === other.generation &&
    one.owner === other.owner &&
    one.role === other.role &&
    one.sync === other.sync &&
    one.boot_id === other.boot_id
  );
}

/** state.json of one resource. Only one process writes it: the supervisor, or `stop` when there is none. */
export class DurableStore {
  readonly #paths: ResourcePaths;

  constructor(paths: ResourcePaths) {
    this.#paths = paths;
  }

  /**
   * @returns undefined when there is none: this node never had the guest.
   * @throws AgentError state-unusable: a state that cannot be trusted is not guessed.
   */
  async load(): Promise<DurableState | undefined> {
    const path = this.#paths.state;
    let content: string;
    try {
      content = await readFile(path, 'utf8');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw new AgentError(
        'state-unusable',
        `${path} cannot be read (${messageOf(error)}): mend the disk or the permissions`,
        {
          cause: error,
        },
      );
    }
    let json: unknown;
    try {
      json = JSON.parse(content.slice(0, limits.record_bytes));
    } catch (error) {
      throw new AgentError('state-unusable', corrupt(path, 'it is not JSON'), { cause: error });
    }
    const version = typeof json === 'object' && json !== null && 'version' in json ? json.version : undefined;
    if (typeof version === 'number' && version > 1) {
      throw new AgentError(
        'state-unusable',
        `${path} has version ${version}, this kemari reads version 1: install the newer kemari on this node again`,
      );
    }
    const parsed = v.safeParse(durableState, json);
    if (!parsed.success) {
      const key = quote(v.getDotPath(parsed.issues[0]) ?? 'the whole file');
      const why = quote(parsed.issues[0].message);
      throw new AgentError('state-unusable', corrupt(path, `key "${key}": ${why}`));
    }
    return parsed.output;
  }

  /**
   * The state of this VM, written again: proves before anything starts that the folder takes a write.
   * @throws AgentError state-unusable
   */
  async open(vmUuid: string): Promise<DurableState> {
    const found = await this.load();
    if (found && found.vm_uuid !== vmUuid) {
      throw new AgentError(
        'state-unusable',
        `${this.#paths.state} belongs to VM ${found.vm_uuid}, the config names ${vmUuid}: give the config its uuid back, or remove the file if the old VM is gone for good`,
      );
    }
    const state = found ? { ...found, role: 'secondary' as const } : initialState(vmUuid);
    return await this.write(state);
  }

  /** @throws AgentError state-unusable: disk full, read-only, gone. The old state is still there then. */
  async write(state: DurableState): Promise<DurableState> {
    const next = { ...state, boot_id: bootId() };
    try {
      await this.#createFolder();
      await writeDurably(this.#paths.state, `${JSON.stringify(next, null, 2)}\n`, 0o600);
    } catch (error) {
      throw new AgentError(
        'state-unusable',
        `${this.#paths.state} cannot be written (${messageOf(error)}): free space or mend the file system of ${this.#paths.state_dir}`,
        { cause: error },
      );
    }
    return next;
  }

  async #createFolder(): Promise<void> {
    const created = await mkdir(this.#paths.state_dir, { recursive: true, mode: 0o700 });
    if (created === undefined) return;
    const parent = await open(`${created}/..`, 'r');
    try {
      await parent.sync();
    } finally {
      await parent.close();
    }
  }
}

function corrupt(path: string, why: string): string {
  return `${path} is damaged (${why}): which guest is the newest cannot be known from it; restore it, or remove it if the other node has the newer guest`;
}
