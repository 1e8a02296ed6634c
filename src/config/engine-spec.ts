import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import type { ResourcePaths } from '../common/paths.js';
import { epochLimits, tuning, type Tuning } from '../common/tuning.js';
import type { Vm } from '../domain/vm.js';
import type { ParameterValues } from '../pacemaker/parameters.js';
import type { SyncEnds } from './sync-ends.js';

const MIB = 1 << 20;
/** Microseconds. */
const MS = 1000;
/** Of a standard VGA adapter. */
export const VIDEO_FIRMWARE = '/usr/share/seabios/vgabios-stdvga.bin';

const endpoint = { address: v.string(), port: v.number() };

/** What the engine is started with (`kemari-engine --spec FILE`); the golden sample is test/contract/spec/engine.json. */
export const engineSpec = v.strictObject({
  version: v.literal(1),
  resource: v.string(),
  node: v.string(),
  listen: v.strictObject(endpoint),
  peers: v.array(v.strictObject({ node: v.string(), ...endpoint })),
  transport: v.variant('kind', [
    v.strictObject({ kind: v.literal('tls'), key: v.string() }),
    v.strictObject({ kind: v.literal('plain') }),
  ]),
  runtime_dir: v.string(),
  control_socket: v.string(),
  supervisor: v.nullable(v.strictObject({ arguments: v.array(v.string()), log: v.string() })),
  preload: v.string(),
  machine: v.strictObject({
    uuid: v.string(),
    qemu: v.string(),
    type: v.string(),
    cpu: v.string(),
    hpet: v.boolean(),
    accel: v.picklist(['auto', 'kvm', 'tcg']),
    tracker: v.picklist(['auto', 'pagemap-scan', 'compare']),
    memory_mib: v.number(),
    vcpus: v.number(),
    topology: v.nullable(
      v.strictObject({ sockets: v.number(), dies: v.number(), cores: v.number(), threads: v.number() }),
    ),
    firmware: v.string(),
    kernel: v.string(),
    initrd: v.string(),
    cmdline: v.string(),
    console_log: v.string(),
    interfaces: v.array(
      v.strictObject({
        mac: v.string(),
        model: v.picklist(['virtio', 'e1000']),
        tap: v.string(),
        bridge: v.string(),
      }),
    ),
    rng: v.nullable(
      v.strictObject({
        source: v.picklist(['urandom', 'random', 'builtin']),
        rate: v.nullable(v.strictObject({ bytes: v.number(), period_ms: v.number() })),
      }),
    ),
    video: v.nullable(v.strictObject({ memory_mib: v.number(), firmware: v.string() })),
    vnc: v.nullable(v.strictObject({ address: v.string(), port: v.nullable(v.number()) })),
    qemu_arguments: v.array(v.string()),
  }),
  tuning,
  limits: epochLimits,
});
export type EngineSpec = v.InferOutput<typeof engineSpec>;

/**
 * The TAP device of a VM's interface of this number. Its name has at most 15 characters: a resource name that does not fit, and
 * any of a further interface, which could be another resource's, is shortened to a hash of it.
 */
export function tapName(resource: string, number: number): string {
  const plain = `k${resource}`;
  if (number === 0 && /^[a-z0-9_-]{1,15}$/i.test(plain)) return plain;
  // No resource name has a slash.
  const hashed = number === 0 ? resource : `${resource}/${number}`;
  return `k${createHash('sha256').update(hashed).digest('hex').slice(0, 10)}`;
}

/** QEMU's executable on this host. */
export function qemuOf(vm: Vm): string {
  return vm.emulator ?? '/usr/bin/qemu-system-x86_64';
}

export interface Description {
  readonly vm: Vm;
  readonly values: ParameterValues;
  readonly node: string;
  readonly ends: SyncEnds;
  /** The supervisor's command. */
  readonly supervisor: readonly string[];
}

export function translate(
  { vm, values, node, ends, supervisor }: Description,
  paths: ResourcePaths,
  libraryDir: string,
): EngineSpec {
  return {
    version: 1,
    resource: paths.resource,
    node,
    listen: ends.listen,
    peers: [...ends.peers],
    transport: values.transport === 'tls' ? { kind: 'tls', key: values.key } : { kind: 'plain' },
    runtime_dir: paths.run_dir,
    control_socket: paths.engine_socket,
    supervisor: { arguments: [...supervisor], log: paths.log },
    preload: join(libraryDir, 'libkemari_preload.so'),
    machine: {
      uuid: vm.uuid,
      qemu: qemuOf(vm),
      type: vm.machine,
      cpu: vm.cpu,
      hpet: vm.hpet,
      accel: vm.accel,
      tracker: values.tracker,
      memory_mib: vm.memory_mib,
      vcpus: vm.vcpus,
      topology: vm.topology ?? null,
      firmware: vm.firmware ?? '/usr/share/seabios/bios-256k.bin',
      kernel: vm.kernel,
      initrd: vm.initrd,
      cmdline: vm.cmdline,
      console_log: vm.console_log ?? paths.console_log,
      interfaces: vm.interfaces.map(({ mac, model, bridge, tap }, number) => ({
        mac,
        model,
        tap: tap ?? tapName(paths.resource, number),
        bridge,
      })),
      rng: vm.rng ? { source: vm.rng.source, rate: vm.rng.rate ?? null } : null,
      video: vm.video ? { ...vm.video, firmware: VIDEO_FIRMWARE } : null,
      vnc: vm.vnc ? { address: vm.vnc.address, port: vm.vnc.port ?? null } : null,
      qemu_arguments: [...vm.qemu_arguments],
    },
    tuning: tuningOf(values),
    limits: {
      max_epoch_age_ms: values.epoch_age / MS,
      max_epoch_bytes: values.epoch_mib * MIB,
      hold_bytes: values.hold_mib * MIB,
      ack_timeout_ms: values.ack_timeout / MS,
      time_catch_up_max_ms: values.time_catch_up / MS,
      wake_latency_us: values.wake_latency,
    },
  };
}

/** What a running engine can be told anew. */
export function tuningOf(values: ParameterValues): Tuning {
  return {
    sync_mode: values.sync_mode,
    commit: values.commit,
    interval_ms: values.interval / MS,
    latency_budget_ms: values.latency_budget / MS,
    paused_max_percent: values.paused_max,
    compression: values.compression,
    freeze_timeout_ms: values.freeze_timeout / MS,
  };
}
