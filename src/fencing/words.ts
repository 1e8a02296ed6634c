/**
 * What the supervisors of two nodes say to each other over the cluster's own network, as private node attributes: never in the
 * CIB, and forgotten when their node leaves.
 */
export interface Word {
  /** For every generation up to this one. */
  readonly through: number;
  /** The asking primary's engine, of this one life: an answer to an earlier one is none. */
  readonly engine_id: string;
}

/** On the primary's node: "become outdated". */
export function askAttribute(resource: string): string {
  return `kemari-ask-${resource}`;
}

/** On the secondary's node: "I am, and it is on my disk". */
export function outdatedAttribute(resource: string): string {
  return `kemari-outdated-${resource}`;
}

export function formatWord({ through, engine_id }: Word): string {
  return `${through}:${engine_id}`;
}

/** @returns undefined when it is no such word: then nothing was said. */
export function parseWord(text: string | undefined): Word | undefined {
  const [, through, engine_id] = /^(\d{1,15}):([0-9a-f-]{36})$/.exec(text ?? '') ?? [];
  return through === undefined || engine_id === undefined
    ? undefined
    : { through: Number(through), engine_id };
}

export type Words = ReadonlyMap<string, Word>;

export function sameWord(one: Word | undefined, other: Word | undefined): boolean {
  return one?.through === other?.through && one?.engine_id === other?.engine_id;
}
