// The same guest as ocf:heartbeat:VirtualDomain has it: Debian's libvirtd and virsh on a host of the lab, whose /etc, /var
// and /run are its own and whose end is the end of every process there.
import type { Place } from '../../lab/place.js';
import { GUEST_INITRD, GUEST_KERNEL } from '../../lab/kemari/install.js';
import { waitFor } from '../../lab/wait-for.js';

const START_TIMEOUT_MS = 30_000;
const DOMAIN = 'plain1';
const DOMAIN_PATH = `/etc/libvirt/${DOMAIN}.xml`;
const URI = 'qemu:///system';

/** No users, cgroups and daemons beside it: they would be the machine's. */
const QEMU_CONF = `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
seccomp_sandbox = 0
stdio_handler = "file"
`;
const LIBVIRTD_CONF = `auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
log_outputs = "2:file:/var/log/libvirtd.log"
`;

const DOMAIN_XML = `<domain type='qemu'>
  <name>${DOMAIN}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <kernel>${GUEST_KERNEL}</kernel>
    <initrd>${GUEST_INITRD}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <console type='pty'/>
    <memballoon model='none'/>
  </devices>
</domain>
`;

/** What Pacemaker would hand to the agent. Its utilization attributes, three more programs a call, are turned off. */
export const VIRTUAL_DOMAIN: readonly string[] = [
  ...['OCF_ROOT=/usr/lib/ocf', 'OCF_RA_VERSION_MAJOR=1', 'OCF_RA_VERSION_MINOR=1'],
  ...[
    `OCF_RESOURCE_INSTANCE=${DOMAIN}`,
    'OCF_RESOURCE_TYPE=VirtualDomain',
    'OCF_RESOURCE_PROVIDER=heartbeat',
  ],
  ...[`OCF_RESKEY_config=${DOMAIN_PATH}`, `OCF_RESKEY_hypervisor=${URI}`],
  ...['cpu', 'host_memory', 'hv_memory'].map((name) => `OCF_RESKEY_autoset_utilization_${name}=false`),
  ...['OCF_RESKEY_CRM_meta_timeout=20000', 'OCF_RESKEY_CRM_meta_interval=5000'],
];

/** Starts libvirtd and the guest; returns when libvirt says that it runs. */
export async function startLibvirtGuest(host: Place): Promise<void> {
  const files = { 'qemu.conf': QEMU_CONF, 'libvirtd.conf': LIBVIRTD_CONF, [`${DOMAIN}.xml`]: DOMAIN_XML };
  for (const [name, content] of Object.entries(files))
    await host.run(['tee', `/etc/libvirt/${name}`], { input: content });
  // libvirt-daemon-system would make it, and start services too. It is looked up, whoever QEMU runs as.
  await host.run(['useradd', '--system', '--user-group', '--no-create-home', 'libvirt-qemu']);
  const { child } = await host.start(['libvirtd']);
  // The power of its host goes off under it.
  void child.catch(() => undefined);
  const virsh = ['virsh', `--connect=${URI}`, '--quiet'];
  await waitFor(
    'libvirtd to answer',
    async () => {
      await host.run([...virsh, 'list']);
      return true;
    },
    { timeout_ms: START_TIMEOUT_MS },
  );
  await host.run([...virsh, 'create', DOMAIN_PATH]);
  const state = (await host.run([...virsh, 'domstate', DOMAIN])).trim();
  if (state !== 'running') throw new Error(`libvirt's guest is ${state}, not running`);
}
