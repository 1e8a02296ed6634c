// The measures that are native programs (native/examples/measure): one line in, one JSON object out.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { PROJECT } from '../../lab/project.js';
import { PARTS, type Pauses } from '../report/checkpoints.js';
import type { Settings } from '../settings.js';
import { LineReader } from './line-reader.js';
import { addressOf, floorLike, specOf, type Machine } from './machine.js';
import { guestIsUp } from './pair.js';
import type { Yard } from './yard.js';

const PROGRAM = join(PROJECT, 'native/target/release/examples/measure');
const times = v.pipe(
  v.object({ p50_us: v.number(), p99_us: v.number() }),
  v.transform(({ p50_us, p99_us }) => ({ p50_ms: p50_us / 1000, p99_ms: p99_us / 1000 })),
);
const found = v.object({ whole: times, parts: v.record(v.picklist(PARTS), times) });
const SCAN = ['scan', '--gib', '16', '--hot', '200'];

export interface NativeMeasure {
  /** Measures once; between rounds it measures nothing. */
  readonly round: () => Promise<Pauses>;
  readonly end: () => Promise<void>;
}

export interface Floor {
  readonly address: string;
  /** The pauses while `load` ran. */
  readonly during: (load: () => Promise<unknown>) => Promise<Pauses>;
  readonly end: () => Promise<void>;
}

/** A guest that is stopped, saved and continued for each of its outputs, and nothing else. */
export async function floorOf(yard: Yard, like: Machine): Promise<Floor> {
  const machine = floorLike(like);
  const spec = await specOf({ machine, host: 'n1', run: yard.run });
  await mkdir(spec.runtime_dir, { recursive: true });
  const file = join(spec.runtime_dir, 'spec.json');
  await writeFile(file, JSON.stringify(spec));
  const { ask, end } = await start(yard, ['floor', '--spec', file]);
  const address = addressOf(machine.number);
  await guestIsUp(yard, address);
  return {
    address,
    during: async (load) => {
      // What was before does not count.
      await ask();
      await load();
      return v.parse(found, await ask());
    },
    end,
  };
}

/** Scans of 16 GiB, most of it cold. */
export async function scanOf(yard: Yard, settings: Settings): Promise<NativeMeasure> {
  const { ask, end } = await start(yard, [...SCAN, '--scans', String(settings.scans)]);
  return { round: async () => v.parse(found, await ask()), end };
}

async function start(yard: Yard, words: readonly string[]) {
  const { child } = await yard.host('n1').start([PROGRAM, ...words]);
  const lines = new LineReader(child.stdout, `${PROGRAM} ${words[0] ?? ''} has failed: its message is above`);
  return {
    /** One line in, one answer out. */
    ask: async (): Promise<unknown> => {
      child.stdin.write('\n');
      return JSON.parse(await lines.next());
    },
    end: async (): Promise<void> => {
      child.stdin.end();
      await child;
    },
  };
}
