// The guests of the benchmark, as an engine is told of them. The golden specification is the pattern: what it gains, the
// benchmark has too.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { engineSpec, type EngineSpec } from '../../../src/config/engine-spec.js';
import { PROJECT } from '../../lab/project.js';
import type { SyncMode } from '../arguments.js';

export interface Machine {
  /** At most 8 characters: network interfaces are named after it. */
  readonly name: string;
  /** Folder of its image in cache/. */
  readonly image: string;
  readonly memory_mib: number;
  readonly vcpus: number;
  /** Last part of the guests' addresses: this one's, and the next ones for those that it is compared with. */
  readonly number: number;
}

/** The same guest, whose engine has no peer. */
export function aloneLike(machine: Machine): Machine {
  return { ...machine, name: `s${machine.name}`, number: machine.number + 2 };
}

/** The same guest, for the program that finds the floor. */
export function floorLike(machine: Machine): Machine {
  return { ...machine, name: 'floor', number: machine.number + 3 };
}

/** The small guest, where a checkpoint costs little beside Kemari's own work. */
export const SMALL: Machine = { name: 'small', image: 'guest', memory_mib: 256, vcpus: 1, number: 10 };
/** The one with real services. */
export const DEBIAN: Machine = {
  ...{ name: 'debian', image: 'guest-debian', memory_mib: 1024, vcpus: 2, number: 20 },
};

const PORT = 7900;

/** Path of the key that the engines of a yard share. */
export function syncKeyOf(run: string): string {
  return join(run, 'sync.key');
}

export function addressOf(number: number): string {
  return `10.77.3.${number}`;
}

export function macOf(number: number): string {
  return `52:54:00:6b:00:${number.toString(16).padStart(2, '0')}`;
}

export interface SpecOptions {
  readonly machine: Machine;
  readonly host: 'n1' | 'n2';
  /** Run folder of the yard. */
  readonly run: string;
  readonly sync_mode?: SyncMode | undefined;
}

/** Specification of the engine on `host`. */
export async function specOf({ machine, host, run, sync_mode }: SpecOptions): Promise<EngineSpec> {
  const golden = JSON.parse(
    await readFile(join(PROJECT, 'test/contract/spec/engine.json'), 'utf8'),
  ) as EngineSpec;
  const folder = join(run, `${machine.name}-${host}`);
  const other = host === 'n1' ? 'n2' : 'n1';
  const image = join(PROJECT, 'cache', machine.image);
  const port = PORT + machine.number;
  const [first] = golden.machine.interfaces;
  return v.parse(engineSpec, {
    ...golden,
    resource: machine.name,
    node: host,
    listen: { address: `10.77.2.${host.slice(1)}`, port },
    peers: [{ node: other, address: `10.77.2.${other.slice(1)}`, port }],
    transport: { kind: 'tls', key: syncKeyOf(run) },
    runtime_dir: folder,
    control_socket: join(folder, 'engine.sock'),
    supervisor: null,
    preload: join(PROJECT, 'dist/libkemari_preload.so'),
    tuning: { ...golden.tuning, ...(sync_mode === undefined ? {} : { sync_mode }) },
    machine: {
      ...golden.machine,
      memory_mib: machine.memory_mib,
      vcpus: machine.vcpus,
      kernel: join(image, 'vmlinuz'),
      initrd: join(image, 'initrd.gz'),
      cmdline: `console=ttyS0 quiet panic=-1 kemari.ip=${addressOf(machine.number)}/24`,
      console_log: join(folder, 'console'),
      interfaces: [{ ...first, mac: macOf(machine.number), tap: `k${machine.name}`, bridge: 'br0' }],
    },
  });
}
