// Rounds that alternate between guests, so that what else the machine does meets all of them alike.

export interface Subject {
  readonly name: string;
  readonly address: string;
  /** Lets it run, if it stood still. */
  readonly wake: () => Promise<void>;
  /** Lets it stand still, if it can, while another one is measured. */
  readonly rest: () => Promise<void>;
  /** After a failure: true if it had gone silent for good, and is another one now. */
  readonly revive: () => Promise<boolean>;
}

/** Of one round. */
const REVIVALS_MAX = 2;

/** Every second round goes the other way: a machine that gets slower favours nobody. */
export function orderOf<T>(subjects: readonly T[], round: number): T[] {
  return round % 2 === 0 ? [...subjects] : subjects.toReversed();
}

/** Measures each subject once per round; returns the values by subject's name. */
export async function alternate<T>(
  rounds: number,
  subjects: readonly Subject[],
  measure: (subject: Subject) => Promise<T>,
): Promise<ReadonlyMap<string, T[]>> {
  const values = new Map<string, T[]>(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const subject of orderOf(subjects, round)) {
      values.get(subject.name)?.push(await measured(subject, measure));
    }
  }
  return values;
}

async function measured<T>(subject: Subject, measure: (subject: Subject) => Promise<T>): Promise<T> {
  for (let revivals = 0; ; revivals += 1) {
    await subject.wake();
    try {
      return await measure(subject);
    } catch (error) {
      if (revivals === REVIVALS_MAX || !(await subject.revive())) throw error;
    } finally {
      await subject.rest();
    }
  }
}
