import type { Remedies, Remedy } from './place.js';

/** The guest is the same without it. */
function spare(why: string): Remedy {
  return { write: `remove it${why === '' ? '' : `: ${why}`}`, isLoss: false };
}

/** The guest would miss it, or somebody has to choose. */
function loss(write: string): Remedy {
  return { write, isLoss: true };
}

const HOST_ONLY = spare('set it on the host, for the cgroup of QEMU');
const NO_DEVICE = spare('Kemari has no such device, and the guest would lose it in a failover');
const NO_PASSTHROUGH = loss('remove it: a device of one host cannot be there on the other');
const PLACED = spare('Kemari places the devices itself, alike on both nodes');
const ONE_KERNEL = spare('the guest boots from <kernel> and <initrd>');

/** What to do about what a domain description may not have. */
export const remedies: Remedies = {
  blkiotune: HOST_ONLY,
  cputune: HOST_ONLY,
  numatune: HOST_ONLY,
  resource: HOST_ONLY,
  iothreads: spare('disks have no threads of their own here'),
  memoryBacking: spare("the guest's RAM is a memfd that the engine shares with QEMU"),
  maxMemory: spare('RAM cannot be added to a running guest'),
  launchSecurity: loss('remove it: encrypted RAM cannot be copied to the other node'),
  genid: spare('a promoted guest is the same guest, not a copy'),
  sysinfo: loss('remove it: only the default tables are there'),
  seclabel: spare('QEMU runs under its own sandbox instead'),
  bootloader: loss('write <os> with <type>hvm</type> and a <kernel>: only full virtualization is supported'),
  'vcpu/@cpuset': HOST_ONLY,
  'vcpu/@current': loss('remove it: vCPUs cannot be added to a running guest'),
  'os/@firmware': loss(
    "write <loader readonly='yes' type='pflash'>FILE</loader>: the file must be the same on both nodes",
  ),
  'os/nvram': loss(
    'remove it: what the firmware writes to it would not be on the other node; without it the firmware keeps its variables in RAM until the guest is powered off',
  ),
  'os/loader/@secure': loss('remove it: without a store for variables there is no secure boot'),
  'os/boot': ONE_KERNEL,
  'os/bootmenu': spare('nobody sees a menu before the kernel'),
  'os/smbios': loss('remove it: only the default tables are there'),
  'os/dtb': spare('x86-64 has none'),
  'cpu/numa': loss('remove it: the guest has one NUMA node'),
  'cpu/cache': spare('the model says it'),
  'cpu/vendor': spare('the model says it'),
  'devices/disk/address': PLACED,
  'devices/disk/iotune': spare('limit I/O on the host'),
  'devices/disk/encryption': loss('remove it, and encrypt in the guest or below the store'),
  'devices/disk/auth': loss('remove it: the store must be open to these two hosts alone'),
  'devices/disk/shareable': loss('remove it: a disk belongs to one VM'),
  'devices/disk/transient': loss('remove it: what a guest has written stays'),
  'devices/filesystem': NO_PASSTHROUGH,
  'devices/hostdev': NO_PASSTHROUGH,
  'devices/redirdev': spare('a device of one host cannot be there on the other'),
  'devices/smartcard': NO_PASSTHROUGH,
  'devices/tpm': NO_PASSTHROUGH,
  'devices/lease': spare('fencing keeps the guest from running twice'),
  'devices/sound': NO_DEVICE,
  'devices/audio': NO_DEVICE,
  'devices/video/address': PLACED,
  'devices/video/driver': spare('the engine decides how it is connected'),
  'devices/video/model/acceleration': spare('the guest draws by itself'),
  'devices/video/model/@ram': spare('that is of another card'),
  'devices/video/model/@vgamem': spare('that is of another card'),
  'devices/video/model/@vram64': spare('that is of another card'),
  'devices/video/model/@edid': spare('the card tells what it can show'),
  'devices/graphics/@tlsPort': spare('VNC has no such port; reach it through ssh -L'),
  'devices/graphics/@websocket': spare('reach it through ssh -L'),
  'devices/graphics/@socket': loss("write listen='127.0.0.1' and a port"),
  'devices/graphics/@keymap': spare('viewers tell which key was pressed'),
  'devices/watchdog': NO_DEVICE,
  'devices/panic': NO_DEVICE,
  'devices/shmem': NO_PASSTHROUGH,
  'devices/vsock': loss('remove it: the other node has another address for it'),
  'devices/hub': NO_DEVICE,
  'devices/parallel': NO_DEVICE,
  'devices/channel': NO_DEVICE,
  'devices/iommu': loss('remove it: Kemari has no such device'),
  'devices/memory': loss('remove it, and write all RAM in <memory>'),
  'devices/rng/address': PLACED,
  'devices/rng/driver': spare('the engine decides how it is connected'),
  'devices/interface/address': PLACED,
  'devices/interface/boot': ONE_KERNEL,
  'devices/interface/driver': spare('the engine is the other end of the network device'),
  'devices/interface/mtu': loss('remove it, and set the MTU of the bridge and in the guest'),
  'devices/interface/vlan': loss('remove it, and name a bridge of this VLAN'),
  'devices/interface/virtualport': loss('remove it, and name a Linux bridge'),
  'devices/interface/bandwidth': loss('remove it, and shape the TAP device on the host (tc)'),
  'devices/interface/filterref': loss('remove it, and filter on the bridge (nft)'),
  'devices/serial/address': PLACED,
  'devices/controller/address': PLACED,
  'qemu:commandline': loss(
    'remove it, or allow it by the parameter allow_qemu_commandline (check-config --allow-qemu-commandline), which takes a part of it',
  ),
  'qemu:commandline/qemu:env': loss('remove it: the engine gives QEMU the environment that it runs in'),
};
