// A VM's libvirt domain XML, the same on every node.
import { guestAddress } from '../networks.js';
import type { Lab } from '../lab.js';
import { GUEST_INITRD, GUEST_KERNEL } from './install.js';

export interface DomainOptions {
  /** Which VM of the lab it is: 1, 2, … */
  readonly number?: number;
  /** Pages that the guest's service writes each second. */
  readonly dirty_pages_per_second?: number;
  readonly memory_mib?: number;
  readonly kernel?: string;
}

export function domainPath(resource: string): string {
  return `/etc/kemari/${resource}.xml`;
}

/** The lab's guest, as virsh dumpxml would write it. */
export function domainXml(options: DomainOptions = {}): string {
  const { number = 1, dirty_pages_per_second = 0, memory_mib = 256, kernel = GUEST_KERNEL } = options;
  return `<domain type='kvm'>
  <name>vm${number}</name>
  <uuid>6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e${(0x2e + number).toString(16)}</uuid>
  <memory unit='MiB'>${memory_mib}</memory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <kernel>${kernel}</kernel>
    <initrd>${GUEST_INITRD}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 kemari.ip=${guestAddress(number)}/24 kemari.dirty=${dirty_pages_per_second}</cmdline>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <interface type='bridge'>
      <mac address='52:54:00:6b:00:${String(number).padStart(2, '0')}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <console type='pty'/>
    <memballoon model='none'/>
  </devices>
</domain>
`;
}

/** Writes a description to all nodes. */
export async function writeDomain(lab: Lab, resource: string, xml: string): Promise<void> {
  for (const node of lab.nodes) {
    await lab.node(node).run(['mkdir', '-p', '/etc/kemari']);
    await lab.node(node).run(['tee', domainPath(resource)], { input: xml });
  }
}
