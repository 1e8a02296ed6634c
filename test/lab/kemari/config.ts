// A VM's config file, the same on both nodes.
import { GUEST_ADDRESS, nodeAddress, nodeNumber } from '../networks.js';
import type { Lab } from '../lab.js';
import { GUEST_INITRD, GUEST_KERNEL } from './install.js';

export const SYNC_PORT = 7900;

export interface VmConfigOptions {
  /** Pages that the guest's service writes each second. */
  readonly dirty_pages_per_second?: number;
  readonly port?: number;
  readonly memory_mib?: number;
  /** Left out: encrypted, as everybody has it who does not ask for anything. */
  readonly transport?: 'plain';
}

export function configPath(resource: string): string {
  return `/etc/kemari/${resource}.json`;
}

/** The lab guest's config, as it is written to disk. */
export function vmConfig(lab: Lab, options: VmConfigOptions = {}): Record<string, unknown> {
  const port = options.port ?? SYNC_PORT;
  const dirty = options.dirty_pages_per_second ?? 0;
  return {
    uuid: '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f',
    memory_mib: options.memory_mib ?? 256,
    vcpus: 1,
    kernel: GUEST_KERNEL,
    initrd: GUEST_INITRD,
    cmdline: `console=ttyS0 quiet panic=-1 kemari.ip=${GUEST_ADDRESS}/24 kemari.dirty=${dirty}`,
    interfaces: [{ mac: '52:54:00:6b:00:01', bridge: 'br0' }],
    ...(options.transport && { transport: options.transport }),
    sync: Object.fromEntries(
      lab.nodes.map((node) => [node, { address: nodeAddress('sync', nodeNumber(node)), port }]),
    ),
  };
}

/** Writes a config (an object, or text as it is) to all nodes. */
export async function writeConfig(
  lab: Lab,
  resource: string,
  config: Record<string, unknown> | string,
): Promise<void> {
  const text = typeof config === 'string' ? config : JSON.stringify(config, null, 2);
  for (const node of lab.nodes) {
    await lab.node(node).run(['mkdir', '-p', '/etc/kemari']);
    await lab.node(node).run(['tee', configPath(resource)], { input: text });
  }
}
