import type { DurableState, SyncWord } from './durable-state.js';

/** What a supervisor tells the other one about its disk, as a node attribute: `GENERATION:OWNER|-:SYNC:ROLE`. */
export interface DiskWord {
  readonly generation: number;
  readonly owner: string | null;
  readonly sync: SyncWord;
  /** primary: a guest runs there now. stopped: nobody is there who would hear of a newer one. */
  readonly role: 'primary' | 'secondary' | 'stopped';
}

export function diskAttribute(resource: string): string {
  return `kemari-${resource}-disk`;
}

/** The name that Pacemaker's scheduler reads; crm_attribute --promotion writes the same. */
export function scoreAttribute(resource: string): string {
  return `master-${resource}`;
}

export function formatDiskWord(durable: DurableState, role: DiskWord['role']): string {
  return `${durable.generation}:${durable.owner ?? '-'}:${durable.sync}:${role}`;
}

/** What other nodes have said of their disks; undefined: nothing is known of that one. */
export type DiskWords = ReadonlyMap<string, DiskWord | undefined>;

/** @returns undefined when it is not such a word: then nothing is known about the other disk. */
export function parseDiskWord(text: string | undefined): DiskWord | undefined {
  const match = /^(\d{1,15}):([^:]+):(none|protected|solo|outdated|clean):(primary|secondary|stopped)$/.exec(
    text ?? '',
  );
  if (!match) return undefined;
  return {
    generation: Number(match[1]),
    owner: match[2] === '-' ? null : (match[2] ?? null),
    sync: match[3] as SyncWord,
    role: match[4] as DiskWord['role'],
  };
}
