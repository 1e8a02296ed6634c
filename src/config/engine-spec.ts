import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { AgentError } from '../common/error.js';
import type { ResourcePaths } from '../common/paths.js';
import { epochLimits, tuning } from '../common/tuning.js';
import type { VmConfig } from './vm-config.js';

const endpoint = { address: v.string(), port: v.number() };

/** What the engine is started with (`kemari-engine --spec FILE`); the golden sample is test/contract/spec/engine.json. */
export const engineSpec = v.strictObject({
  version: v.literal(1),
  resource: v.string(),
  node: v.string(),
  listen: v.strictObject(endpoint),
  peer: v.strictObject({ node: v.string(), ...endpoint }),
  transport: v.variant('kind', [
    v.strictObject({ kind: v.literal('tls'), key: v.string() }),
    v.strictObject({ kind: v.literal('plain') }),
  ]),
  runtime_dir: v.string(),
  control_socket: v.string(),
  preload: v.string(),
  machine: v.strictObject({
    uuid: v.string(),
    qemu: v.string(),
    type: v.string(),
    cpu: v.string(),
    accel: v.picklist(['auto', 'kvm', 'tcg']),
    tracker: v.picklist(['auto', 'pagemap-scan', 'compare']),
    memory_mib: v.number(),
    vcpus: v.number(),
    firmware: v.string(),
    kernel: v.string(),
    initrd: v.string(),
    cmdline: v.string(),
    console_log: v.string(),
    interfaces: v.array(v.strictObject({ mac: v.string(), tap: v.string(), bridge: v.string() })),
  }),
  tuning,
  limits: epochLimits,
});
export type EngineSpec = v.InferOutput<typeof engineSpec>;

/** An interface name has 15 characters: a resource name that does not fit is shortened to a hash of it. */
export function tapName(resource: string): string {
  const plain = `k${resource}`;
  if (/^[a-z0-9_-]{1,15}$/i.test(plain)) return plain;
  return `k${createHash('sha256').update(resource).digest('hex').slice(0, 10)}`;
}

/** @throws AgentError bad-config: the config does not name this node. */
export function translate(
  config: VmConfig,
  configPath: string,
  node: string,
  paths: ResourcePaths,
  libraryDir: string,
): EngineSpec {
  const listen = config.sync[node];
  const peer = Object.entries(config.sync).find(([name]) => name !== node);
  if (!listen || !peer) {
    throw new AgentError(
      'bad-config',
      `${configPath}: key "sync" names ${Object.keys(config.sync).join(' and ')}, but this node is ${node}: use the names that crm_node -l shows`,
    );
  }
  return {
    version: 1,
    resource: paths.resource,
    node,
    listen,
    peer: { node: peer[0], ...peer[1] },
    transport: config.transport === 'tls' ? { kind: 'tls', key: config.key } : { kind: 'plain' },
    runtime_dir: paths.run_dir,
    control_socket: paths.engine_socket,
    preload: join(libraryDir, 'libkemari_preload.so'),
    machine: {
      uuid: config.uuid,
      qemu: config.qemu,
      type: config.machine,
      cpu: config.cpu,
      accel: config.accel,
      tracker: config.tracker,
      memory_mib: config.memory_mib,
      vcpus: config.vcpus,
      firmware: config.firmware,
      kernel: config.kernel,
      initrd: config.initrd,
      cmdline: config.cmdline,
      console_log: config.console_log ?? paths.console_log,
      interfaces: config.interfaces.map(({ mac, bridge, tap }) => ({
        mac,
        tap: tap ?? tapName(paths.resource),
        bridge,
      })),
    },
    tuning: config.tuning,
    limits: config.limits,
  };
}
