// Calls of the agents' actions, as Pacemaker's executor makes them.
import * as v from 'valibot';
import type { Place } from '../../lab/place.js';
import { insideLab, KEMARI } from './stage.js';
import { VIRTUAL_DOMAIN } from './libvirt.js';

/** A command that is run again and again, alternating with the others. */
export interface Caller {
  readonly name: 'monitor' | 'meta-data' | 'VirtualDomain' | 'node';
  readonly environment: readonly string[];
  readonly command: readonly string[];
  /** What it has to end with: anything else was not what is to be measured. */
  readonly code: number;
}

/** The agent as it was built: what is installed on a host of the lab lies in memory, and is slower to map than a disk's file. */
const KEMARI_PROGRAM = insideLab('dist/kemari');
const VIRTUAL_DOMAIN_PROGRAM = '/usr/lib/ocf/resource.d/heartbeat/VirtualDomain';
const PROMOTED = 8;

export const CALLERS: readonly Caller[] = [
  { name: 'monitor', environment: KEMARI, command: [KEMARI_PROGRAM, 'monitor'], code: PROMOTED },
  { name: 'meta-data', environment: [], command: [KEMARI_PROGRAM, 'meta-data'], code: 0 },
  {
    ...{ name: 'VirtualDomain', environment: VIRTUAL_DOMAIN, code: 0 },
    command: [VIRTUAL_DOMAIN_PROGRAM, 'monitor'],
  },
  // What the language costs before the first line of a program: no action can be below it.
  { name: 'node', environment: [], command: [process.execPath, '-e', '0'], code: 0 },
];

const call = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ wall_us: v.number(), cpu_us: v.number(), code: v.number() }),
);

/** Times of one call, in ms. */
export interface Call {
  readonly wall_ms: number;
  readonly cpu_ms: number;
}

/** Makes `count` calls on a host, one after the other. */
export async function callsOf(host: Place, caller: Caller, count: number): Promise<Call[]> {
  const { name, environment, command, code: wanted } = caller;
  const times = insideLab('cache/bench/times');
  const output = await host.run(['env', ...environment, times, String(count), ...command]);
  return output
    .trim()
    .split('\n')
    .map((line) => {
      const { wall_us, cpu_us, code } = v.parse(call, line);
      if (code !== wanted) throw new Error(`${name} ended with ${code}, not ${wanted}`);
      return { wall_ms: wall_us / 1000, cpu_ms: cpu_us / 1000 };
    });
}
