// One run: the measures that are wanted, one after the other, on guests that are booted for them.
import type { Narrator } from '../scenarios/demo/narrator.js';
import type { Arguments } from './arguments.js';
import { ON_DEBIAN, ON_SMALL, OWN } from './measures/all.js';
import type { GuestMeasure, Measure } from './measures/measure.js';
import { Findings } from './report/findings.js';
import { Stage } from './stage.js';
import { DEBIAN, SMALL, type Machine } from './yard/machine.js';
import type { Yard } from './yard/yard.js';

export interface Run {
  readonly findings: Findings;
  /** Measures that have failed, with the reason. */
  readonly failures: readonly string[];
  readonly accel: string | undefined;
}

export async function measureAll(yard: Yard, wanted: Arguments, narrator: Narrator): Promise<Run> {
  const findings = new Findings();
  const failures: string[] = [];
  let accel: string | undefined;
  const isWanted = ({ name, onlyByName = false, isLong = false }: Measure): boolean =>
    wanted.only.length === 0 ? !onlyByName && !(isLong && wanted.quick) : wanted.only.includes(name);

  // A measure that fails leaves its figures out, and the others alone.
  const attempt = async (measure: Measure, work: () => Promise<void>): Promise<void> => {
    try {
      await narrator.wait(measure.title, work());
    } catch (error) {
      const reason = messagesOf(error);
      narrator.say(reason);
      failures.push(`${measure.name}: ${reason}`);
      findings.missing(measure.name, reason);
    }
  };

  const onGuests = async (machine: Machine, measures: readonly GuestMeasure[]): Promise<void> => {
    const some = measures.filter(isWanted);
    if (some.length === 0) return;
    narrator.title(`${machine.name} guest: ${machine.memory_mib} MiB, ${machine.vcpus} vCPU`);
    const withSolo = some.some(({ name }) => name === 'echo' || name === 'cpu');
    let stage: Stage;
    try {
      const say = (text: string): void => {
        narrator.say(text);
      };
      const setting = Stage.set(yard, machine, { sync_mode: wanted.sync_mode, withSolo, say });
      stage = await narrator.wait('boot it protected and unprotected', setting);
    } catch (error) {
      const reason = messagesOf(error);
      for (const { name } of some) findings.missing(name, reason);
      failures.push(`${machine.name} guest: ${reason}`);
      return;
    }
    accel = (await stage.pair.primary.status()).accel;
    for (const measure of some) {
      await attempt(measure, () => measure.run(stage, wanted.settings, findings));
    }
    await stage.clear();
  };

  for (const measure of OWN.filter(isWanted)) {
    await attempt(measure, () => measure.run(yard, wanted.settings, findings));
  }
  await onGuests(SMALL, ON_SMALL);
  await onGuests(DEBIAN, ON_DEBIAN);
  return { findings, failures, accel };
}

/** The whole chain of causes. */
export function messagesOf(error: unknown): string {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) messages.push(cause.message);
  return messages.length > 0 ? messages.join(': ') : String(error);
}
