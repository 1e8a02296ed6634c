import { describe, expect, test } from 'vitest';
import { AgentError } from '../../src/common/error.js';
import { judgeDomain, readDomain } from '../../src/domain/read-domain.js';
import type { Vm } from '../../src/domain/vm.js';

const FILE = '/etc/kemari/vm1.xml';

const least = `<domain type='kvm'>
  <name>vm1</name>
  <uuid>6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f</uuid>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <kernel>/boot/vmlinuz</kernel>
    <initrd>/boot/initrd</initrd>
  </os>
  <features><acpi/></features>
  <devices>
    <interface type='bridge'>
      <mac address='52:54:00:6b:00:01'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
  </devices>
</domain>
`;

/** As virsh dumpxml has it, with what says nothing of the machine. */
const usual = `<?xml version='1.0' encoding='UTF-8'?>
<!-- edited by hand -->
<domain type='qemu' id='7' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>db-1</name>
  <uuid>6F1C1D2E-3A4B-4C5D-8E6F-7A8B9C0D1E2F</uuid>
  <title>the database &amp; more</title>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu placement='static'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <kernel>/boot/vmlinuz</kernel>
    <initrd>/boot/initrd</initrd>
    <cmdline>console=ttyS0 quiet</cmdline>
  </os>
  <features><acpi/><apic/><vmport state='off'/></features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>Skylake-Server</model>
    <topology sockets='1' dies='1' cores='2' threads='2'/>
    <feature policy='require' name='aes'/>
    <feature policy='disable' name='avx512f'/>
  </cpu>
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' index='0' model='none'/>
    <controller type='pci' index='0' model='pci-root'><alias name='pci.0'/></controller>
    <interface type='bridge'>
      <mac address='52:54:00:6B:00:02'/>
      <source bridge='br-lan'/>
      <target dev='vm-db'/>
      <model type='virtio'/>
      <link state='up'/>
      <alias name='net0'/>
    </interface>
    <serial type='file'>
      <source path='/var/log/db.console' append='on'/>
      <target type='isa-serial' port='0'><model name='isa-serial'/></target>
    </serial>
    <console type='file'>
      <source path='/var/log/db.console' append='on'/>
      <target type='serial' port='0'/>
    </console>
    <input type='mouse' bus='ps2'/>
    <memballoon model='none'/>
    <graphics type='vnc' port='5900' autoport='yes' listen='127.0.0.1'>
      <listen type='address' address='127.0.0.1'/>
      <alias name='graphics0'/>
    </graphics>
    <video>
      <model type='vga' vram='16384' heads='1' primary='yes'/>
      <alias name='video0'/>
    </video>
    <rng model='virtio'>
      <rate bytes='4096' period='2000'/>
      <backend model='random'>/dev/urandom</backend>
      <alias name='rng0'/>
    </rng>
  </devices>
</domain>
`;

/** One more interface. */
function second(last: string, more = ''): string {
  return `<interface type='bridge'><mac address='52:54:00:6b:00:${last}'/><source bridge='br1'/><model type='e1000'/>${more}</interface>`;
}

function refusalOf(text: string): string {
  try {
    readDomain(text, FILE);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    expect(error.code).toBe('bad-config');
    return error.message;
  }
  throw new Error('the description was taken');
}

/** What is said of the small description with `from` replaced; `from` has to be in it. */
function refusedWith(from: string, to: string): string {
  expect(least).toContain(from);
  return refusalOf(least.replace(from, to));
}

test('a description with nothing but what is needed', () => {
  expect(readDomain(least, FILE)).toEqual({
    name: 'vm1',
    uuid: '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f',
    memory_mib: 256,
    accel: 'auto',
    emulator: undefined,
    machine: 'pc-i440fx-7.2',
    vcpus: 1,
    topology: undefined,
    cpu: 'qemu64,svm=off,vmx=off',
    hpet: true,
    firmware: undefined,
    kernel: '/boot/vmlinuz',
    initrd: '/boot/initrd',
    cmdline: '',
    console_log: undefined,
    interfaces: [{ mac: '52:54:00:6b:00:01', bridge: 'br0', tap: undefined, model: 'virtio' }],
    rng: undefined,
    video: undefined,
    vnc: undefined,
    qemu_arguments: [],
  });
});

test('a description as libvirt writes it', () => {
  expect(readDomain(usual, FILE)).toEqual({
    name: 'db-1',
    uuid: '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f',
    memory_mib: 2048,
    accel: 'tcg',
    emulator: '/usr/bin/qemu-system-x86_64',
    machine: 'pc-q35-7.2',
    vcpus: 4,
    topology: { sockets: 1, dies: 1, cores: 2, threads: 2 },
    cpu: 'Skylake-Server,svm=off,vmx=off,aes=on,avx512f=off',
    hpet: false,
    firmware: '/usr/share/OVMF/OVMF_CODE.fd',
    kernel: '/boot/vmlinuz',
    initrd: '/boot/initrd',
    cmdline: 'console=ttyS0 quiet',
    console_log: '/var/log/db.console',
    interfaces: [{ mac: '52:54:00:6b:00:02', bridge: 'br-lan', tap: 'vm-db', model: 'virtio' }],
    rng: { source: 'urandom', rate: { bytes: 4096, period_ms: 2000 } },
    video: { memory_mib: 16 },
    vnc: { address: '127.0.0.1', port: undefined },
    qemu_arguments: [],
  });
});

describe('what is not supported is refused by name and line, with what to do', () => {
  const inDevices = (device: string): string => refusedWith('  </devices>', `${device}\n</devices>`);

  test.each([
    [
      "<disk type='file'><source file='/x'/><target dev='vda'/></disk>",
      '<disk> vda is not supported yet: this version has no disks',
    ],
    [
      "<hostdev mode='subsystem'/>",
      '<hostdev> in <devices> is not supported: remove it: a device of one host',
    ],
    ["<sound model='ich9'/>", '<sound> in <devices> is not supported'],
    ['<gadget/>', '<gadget> in <devices> is not supported: remove it'],
    ["<memballoon model='virtio'/>", "<memballoon> is not supported: write <memballoon model='none'/>"],
    [
      "<controller type='usb' model='qemu-xhci'/>",
      "<controller> type='usb' model='qemu-xhci' is not supported: remove it, or write model='none'",
    ],
    ["<input type='tablet' bus='usb'/>", '<input> is not supported: remove it, or write'],
    ["<serial type='tcp'/>", "<serial> has type='tcp': write type='pty'"],
    [
      "<video><model type='qxl'/></video>",
      "<model> has type='qxl', whose memory no replica would have: write type='vga' or type='none'",
    ],
    ["<video><model type='cirrus'/></video>", "<model> has type='cirrus', whose memory"],
    [
      "<video><model type='vga' vram='1000'/></video>",
      "<model> has vram='1000': write 8192, 16384, 32768, 65536 (KiB)",
    ],
    [
      "<video><model type='vga' heads='2'/></video>",
      "attribute heads='2' of <model> is not supported: write '1'",
    ],
    ['<video/>', "<video> lacks <model>: add <model type='vga'/>"],
    [
      "<graphics type='vnc'/>",
      "<graphics> has nothing to show: add <video><model type='vga'/></video>, or remove it",
    ],
    [
      "<graphics type='vnc'/><video><model type='none'/></video>",
      '<graphics> has nothing to show: remove it',
    ],
    [
      "<graphics type='spice'/><video><model type='vga'/></video>",
      "<graphics> has type='spice': write type='vnc'",
    ],
    [
      "<graphics type='vnc' listen='0.0.0.0'/><video><model type='vga'/></video>",
      "<graphics> has listen='0.0.0.0': whoever reaches it has the keyboard",
    ],
    [
      "<graphics type='vnc'><listen type='address' address='10.0.0.1'/></graphics><video><model type='vga'/></video>",
      "<listen> has address='10.0.0.1': whoever reaches it has the keyboard",
    ],
    [
      "<graphics type='vnc'><listen type='socket' socket='/x'/></graphics><video><model type='vga'/></video>",
      "attribute type='socket' of <listen> is not supported: write 'address'",
    ],
    [
      "<graphics type='vnc' passwd='secret'/><video><model type='vga'/></video>",
      '<graphics> has a password: remove it; whoever reaches it',
    ],
    [
      "<graphics type='vnc' port='80'/><video><model type='vga'/></video>",
      '<graphics> has port "80": write a whole number from 5900 to 65535',
    ],
    [
      "<rng model='virtio-non-transitional'/>",
      "<rng> has model='virtio-non-transitional': write model='virtio'",
    ],
    ["<rng model='virtio'/>", "<rng> lacks <backend>: add <backend model='random'>/dev/urandom</backend>"],
    [
      "<rng model='virtio'><backend model='egd' type='udp'/></rng>",
      "<backend> has model='egd': write <backend model='random'>/dev/urandom</backend>, which both nodes have",
    ],
    [
      "<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>",
      '<backend> is "/dev/hwrng": write <backend model=',
    ],
    [
      "<rng model='virtio'><rate bytes='0'/><backend model='random'/></rng>",
      '<rate> has bytes "0": write a whole number from 1 to 1048576',
    ],
    [
      "<rng model='virtio'><backend model='random'/></rng><rng model='virtio'><backend model='random'/></rng>",
      '<rng> is there twice: remove one',
    ],
    ["<serial type='file'/>", "<serial> has type='file' without a <source"],
    [
      "<interface type='bridge'><mac address='52:54:00:6B:00:01'/><source bridge='b'/><model type='virtio'/></interface>",
      '<devices> has two interfaces with the MAC address 52:54:00:6b:00:01: give each one of its own',
    ],
    [
      second('02', "<target dev='t1'/>") + second('03', "<target dev='t1'/>"),
      "two interfaces with <target dev='t1'/>",
    ],
    [
      ['02', '03', '04', '05', '06', '07', '08', '09'].map((last) => second(last)).join(''),
      '<devices> has 9 interfaces: a VM has 1 to 8',
    ],
  ])('a device: %s', (device, expected) => {
    const sentence = inDevices(device);
    expect(sentence).toContain(expected);
    // <devices> itself begins in line 12, what was added is in line 18.
    expect(sentence).toMatch(/^\/etc\/kemari\/vm1\.xml:(18|12): /);
  });

  test.each([
    ["type='kvm'", "type='xen'", 1, "<domain> has type='xen': write kvm or qemu"],
    ["type='kvm'", '', 1, "<domain> lacks the attribute type: write type='kvm'"],
    ['<name>vm1</name>', '<name>vm 1</name>', 2, '<name> has "vm 1"'],
    ['<name>vm1</name>', '<name>vm1</name><name>vm2</name>', 2, '<name> is there twice: remove one'],
    [
      '  <uuid>6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f</uuid>\n',
      '',
      1,
      '<domain> lacks <uuid>: add <uuid> (uuidgen',
    ],
    ['8e6f-7a8b9c0d1e2f', '8e6f', 3, 'write a UUID'],
    ["unit='MiB'>256", '>1000', 4, '<memory> is 1024000 bytes: write a whole number of MiB'],
    ["unit='MiB'>256", "unit='parsecs'>256", 4, '<memory> is "256": write a whole number with a unit'],
    ["unit='MiB'>256", "unit='toString'>256", 4, 'write a whole number with a unit'],
    ["unit='MiB'>256", "unit='TiB'>999999999999999", 4, 'from 32 to 1048576'],
    [
      '</memory>',
      "</memory><currentMemory unit='MiB'>128</currentMemory>",
      4,
      '<currentMemory> differs from <memory>',
    ],
    ['<vcpu>1<', '<vcpu>0<', 5, '<vcpu> has the number "0": write a whole number from 1 to 64'],
    [
      '<vcpu>1<',
      "<vcpu current='1'>2<",
      5,
      "attribute current='1' of <vcpu> is not supported: remove it: vCPUs cannot be added",
    ],
    [
      '<vcpu>1<',
      "<vcpu placement='auto'>1<",
      5,
      "attribute placement='auto' of <vcpu> is not supported: write 'static'",
    ],
    [
      "machine='pc-i440fx-7.2'",
      "machine='pc'",
      7,
      "<type> has machine='pc', which is another machine with each QEMU",
    ],
    [
      "arch='x86_64'",
      "arch='aarch64'",
      7,
      "attribute arch='aarch64' of <type> is not supported: write 'x86_64'",
    ],
    ['>hvm<', '>linux<', 7, '<type> is "linux": write hvm'],
    ['    <kernel>/boot/vmlinuz</kernel>\n', '', 6, '<os> lacks <kernel>: add <kernel>FILE</kernel>'],
    ['/boot/initrd', 'boot/initrd', 9, '<initrd> has "boot/initrd": write an absolute path'],
    ['/boot/initrd', '/boot/a,readonly=off', 9, 'without commas'],
    ['</os>', '<loader>/usr/share/OVMF/OVMF_CODE.fd</loader></os>', 10, "<loader> must have readonly='yes'"],
    [
      '</os>',
      '<nvram>/x</nvram></os>',
      10,
      '<nvram> in <os> is not supported: remove it: what the firmware writes to it would not be on the other node; without it',
    ],
    ['<acpi/>', '', 11, '<features> lacks <acpi>: add <acpi/>'],
    ['<acpi/>', '<acpi/><hyperv/>', 11, '<hyperv> in <features> is not supported: remove it'],
    [
      '<features>',
      "<cpu mode='host-model'/><features>",
      11,
      "<cpu> has mode='host-model', which depends on the host: write the model",
    ],
    [
      '<features>',
      "<cpu mode='host-passthrough'><feature name='x' policy='optional'/></cpu><features>",
      11,
      '<feature> has the policy "optional"',
    ],
    [
      '<features>',
      "<cpu><model>core2duo</model><topology sockets='2'/></cpu><features>",
      1,
      '<domain> has 1 vCPUs, but the <topology> of 2',
    ],
    [
      '<features>',
      "<cpu><model>host</model><feature policy='require' name='vmx'/></cpu><features>",
      11,
      '<feature> asks for nested virtualization, whose state a checkpoint does not have: remove it',
    ],
    [
      '<features>',
      '<cpu><model>x,hv=on</model></cpu><features>',
      11,
      '<model> has "x,hv=on": write a name that QEMU knows',
    ],
    [
      '<features>',
      "<clock offset='localtime'/><features>",
      11,
      "attribute offset='localtime' of <clock> is not supported: write 'utc'",
    ],
    ['<features>', '<on_reboot>destroy</on_reboot><features>', 11, '<on_reboot> is "destroy": write restart'],
    [
      '<features>',
      '<cputune><shares>1</shares></cputune><features>',
      11,
      '<cputune> is not supported: remove it: set it on the host',
    ],
    ["type='bridge'>", "type='network'>", 13, "<interface> has type='network': write type='bridge'"],
    ['52:54:00:6b:00:01', '53:54:00:6b:00:01', 14, 'write a unicast MAC address'],
    ["bridge='br0'", "bridge='a-very-long-name'", 15, 'of at most 15 characters'],
    [
      "<model type='virtio'/>",
      "<model type='rtl8139'/>",
      16,
      "<model> has type='rtl8139': write type='virtio' or type='e1000'",
    ],
    [
      "<model type='virtio'/>",
      "<model type='virtio'/><address type='pci'/>",
      16,
      '<address> in <interface> is not supported: remove it: Kemari places',
    ],
    [
      '</domain>',
      "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-s'/></q:commandline></domain>",
      19,
      '<qemu:commandline> is not supported: remove it, or allow it by the parameter allow_qemu_commandline (check-config --allow-qemu-commandline)',
    ],
    [
      '<domain ',
      "<domain xmlns='http://evil' ",
      1,
      "attribute xmlns='http://evil' of <domain> is not supported: remove it",
    ],
    [
      '<kernel>/boot/vmlinuz</kernel>',
      "<kernel xmlns='http://evil'>/boot/vmlinuz</kernel>",
      8,
      "attribute xmlns='http://evil' of <kernel> is not supported",
    ],
    [
      '</os>',
      '<cmdline>quiet\ninit=/bin/sh</cmdline></os>',
      10,
      '<cmdline> has a line break, or characters that steer a terminal: write one line of text',
    ],
    ['</os>', '<cmdline>quiet\u001b[2J</cmdline></os>', 10, '<cmdline> has a line break, or characters'],
    ['</os>', '<cmdline>quiet&#x202e;</cmdline></os>', 10, '<cmdline> has a line break, or characters'],
    ['<name>vm1<', '<name>vm1&#27;[2J\n<', 2, '<name> has "vm1\\u{1b}[2J": write a name'],
    ['<vcpu>', 'words<vcpu>', 1, '<domain> has text ("words"): remove it'],
  ])('%s → %s', (from, to, line, expected) => {
    const sentence = refusedWith(from, to);
    expect(sentence).toContain(expected);
    expect(sentence.startsWith(`${FILE}:${line}: `), sentence).toBe(true);
  });
});

test('everything that is wrong is said, in the order of lines', () => {
  const wrong = least
    .replace('<vcpu>1', '<vcpu>none')
    .replace('<acpi/>', '<acpi/><hyperv/>')
    .replace("bridge='br0'", '')
    .replace('</devices>', '<gadget/></devices>');
  const judged = judgeDomain(wrong, FILE);
  if (!('complaints' in judged)) throw new Error('the description was taken');
  expect(judged.complaints.map(({ line, text }) => `${line} ${text.split(':')[0] ?? ''}`)).toEqual([
    '5 <vcpu> has the number "none"',
    '11 <hyperv> in <features> is not supported',
    '15 <source> lacks the attribute bridge',
    '18 <gadget> in <devices> is not supported',
  ]);
  expect(refusalOf(wrong)).toMatch(
    / \(and 3 more: kemari check-config \/etc\/kemari\/vm1\.xml shows all of it\)$/,
  );
});

test('whatever is quoted, the sentence stays one, and says what to write', () => {
  const long = 'x'.repeat(5000);
  for (const [from, to, remedy] of [
    ["<interface type='bridge'>", `<interface type='${long}'>`, "write type='bridge'"],
    ["bridge='br0'", `bridge='${long}'`, ''],
    ["<model type='virtio'/>", `<model type='${long}'/>`, "write type='virtio'"],
    ['<acpi/>', `<acpi/><${long}/>`, 'remove it'],
    ['<vcpu>1', `<vcpu>${long}`, 'write a whole number'],
  ] as const) {
    expect(least).toContain(from);
    const sentence = refusalOf(least.replace(from, to));
    expect(sentence.length).toBeLessThan(800);
    expect(sentence).toContain(remedy);
  }
});

describe('devices that are not needed, as they are written', () => {
  const vmWith = (from: string, to: string): Vm => {
    expect(least).toContain(from);
    return readDomain(least.replace(from, to), FILE);
  };
  const rng = (inside: string, model = 'virtio'): Vm['rng'] =>
    vmWith('</devices>', `<rng model='${model}'>${inside}</rng></devices>`).rng;

  test('a network device of a real machine', () => {
    const vm = vmWith("<model type='virtio'/>", "<model type='e1000'/>");
    expect(vm.interfaces).toMatchObject([{ model: 'e1000' }]);
  });

  test('several interfaces, in their order', () => {
    const vm = vmWith('</devices>', `${second('09')}${second('02')}</devices>`);
    expect(vm.interfaces.map(({ mac }) => mac.slice(-2))).toEqual(['01', '09', '02']);
  });

  test.each([
    ["<graphics type='vnc' port='5901' listen='::1'/>", { address: '::1', port: 5901 }],
    ["<graphics type='vnc' port='-1'><listen type='address'/></graphics>", { address: '127.0.0.1' }],
    ["<graphics type='vnc' autoport='yes' listen='localhost'/>", { address: '127.0.0.1' }],
  ])('a display: %s', (graphics, vnc) => {
    const vm = vmWith('</devices>', `${graphics}<video><model type='vga' vram='8192'/></video></devices>`);
    expect(vm).toMatchObject({ video: { memory_mib: 8 }, vnc });
  });

  test('a display that nobody sees, and none', () => {
    expect(vmWith('</devices>', "<video><model type='vga'/></video></devices>")).toMatchObject({
      video: { memory_mib: 16 },
      vnc: undefined,
    });
    expect(vmWith('</devices>', "<video><model type='none'/></video></devices>").video).toBeUndefined();
  });

  test('random numbers', () => {
    expect(rng("<backend model='random'/>")).toEqual({ source: 'urandom', rate: undefined });
    expect(rng("<backend model='builtin'/>", 'virtio-transitional')).toMatchObject({ source: 'builtin' });
    expect(rng("<rate bytes='1'/><backend model='random'>/dev/random</backend>")).toEqual({
      source: 'random',
      rate: { bytes: 1, period_ms: 1000 },
    });
  });
});

describe('disks are checked, and then refused by name', () => {
  const complaintsOf = (disk: string): string[] => {
    const judged = judgeDomain(least.replace('  </devices>', `${disk}\n</devices>`), FILE);
    return 'complaints' in judged ? judged.complaints.map(({ text }) => text) : [];
  };
  const NOT_YET = 'is not supported yet: this version has no disks; boot from <kernel> and <initrd>';

  test.each([
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/><source file='/srv/a.qcow2' index='1'/><backingStore/><target dev='vda' bus='virtio'/><serial>root-1</serial><alias name='virtio-disk0'/><boot order='1'/></disk>",
    "<disk type='block'><source dev='/dev/drbd0'/><target dev='vda'/><readonly/></disk>",
    "<disk type='network'><source protocol='nbd' name='vm1'><host name='10.0.0.9' port='10809'/></source><target dev='vda'/></disk>",
  ])('%s', (disk) => {
    expect(complaintsOf(disk)).toEqual([`<disk> vda ${NOT_YET}`]);
  });

  test.each([
    [
      "<disk type='file' device='cdrom'><source file='/a.iso'/><target dev='vda'/></disk>",
      "attribute device='cdrom' of <disk> is not supported: write 'disk'",
    ],
    ["<disk type='file'><source file='a.img'/><target dev='vda'/></disk>", 'write an absolute path'],
    [
      "<disk type='file'><source file='/a.img'/><target dev='sda' bus='sata'/></disk>",
      "attribute bus='sata'",
    ],
    ["<disk type='file'><source file='/a.img'/><target dev='hda'/></disk>", 'has dev="hda": write vda, vdb'],
    [
      "<disk type='file'><target dev='vda'/></disk>",
      "<disk> lacks <source>: add <source file='/srv/vm1.img'/>",
    ],
    [
      "<disk type='network'><source protocol='rbd' name='a'/><target dev='vda'/></disk>",
      "attribute protocol='rbd' of <source> is not supported: write 'nbd'",
    ],
    [
      "<disk type='network'><source protocol='nbd'/><target dev='vda'/></disk>",
      "<source> lacks <host>: add <host name='10.0.0.9' port='10809'/>",
    ],
    [
      "<disk type='file'><driver type='vmdk'/><source file='/a.img'/><target dev='vda'/></disk>",
      "attribute type='vmdk' of <driver> is not supported: write 'raw' or 'qcow2'",
    ],
    [
      "<disk type='file'><source file='/a.img'/><target dev='vda'/><shareable/></disk>",
      '<shareable> in <disk> is not supported: remove it: a disk belongs to one VM',
    ],
    [
      "<disk type='file'><source file='/a.img'/><target dev='vda'/></disk><disk type='file'><source file='/b.img'/><target dev='vda'/></disk>",
      '<devices> has two disks vda: give each <target dev> once',
    ],
  ])('%s', (disk, complaint) => {
    expect(complaintsOf(disk).join('\n')).toContain(complaint);
  });
});

describe('what is not XML, or more than XML', () => {
  test.each([
    ['', 'missing root element'],
    ['<domain', 'vm1.xml:1'],
    ['<domain>\n<name>\n</domain>', 'vm1.xml:2: not a libvirt domain description'],
    ['<a/>', '<a> is not a libvirt <domain>'],
    ['{"uuid": 1}', 'not a libvirt domain description'],
    ['<!DOCTYPE domain [<!ENTITY a "b">]><domain/>', 'it has a document type'],
    [
      '<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE domain>\n<domain/>',
      'vm1.xml:3: not a libvirt domain description (it has a document type (<!DOCTYPE …>)): remove it',
    ],
    [
      '<?xml version="1.0"?>\n<?boot fast?>\n<domain/>',
      'vm1.xml:2: not a libvirt domain description (it has a processing instruction (<?boot …?>)): remove it',
    ],
    ['<domain>\n\n<name><?x?></name></domain>', 'vm1.xml:3: not a libvirt domain description (it has a proc'],
    ['<domain/>\n<?x?>', 'vm1.xml:2: not a libvirt domain description (it has a processing instruction (<?x'],
    ['<a>\u001b[2J</b>', 'not a libvirt domain description'],
    ['<!DOCTYPE domain SYSTEM "file:///etc/shadow"><domain/>', 'it has a document type'],
    ['<domain>&a;</domain>', 'entity not found'],
    ['<domain a="1" a="2"/>', 'redefined'],
    [`${'<a>'.repeat(30)}${'</a>'.repeat(30)}`, 'more than 24 elements within each other'],
    ['\0', 'is not text'],
  ])('%s', (text, expected) => {
    expect(refusalOf(text)).toContain(expected);
  });

  test('a mark of the byte order in front says nothing, and no line is another for it', () => {
    expect(readDomain(`\uFEFF${usual}`, FILE)).toEqual(readDomain(usual, FILE));
    expect(refusalOf(`\uFEFF${least.replace('<acpi/>', '<acpi/><hyperv/>')}`)).toContain(
      'vm1.xml:11: <hyperv>',
    );
  });

  test('whatever is wrong is said in one line that a terminal shows as it is', () => {
    for (const wrong of [
      '<domain>\u001b]0;x\u0007</name></domain>',
      least.replace('<vcpu>1', '<vcpu>\u009b2J\nten'),
      least.replace("bridge='br0'", "bridge='a&#10;b&#x202e;'"),
      least.replace('<acpi/>', "<acpi a='&#10;&#27;'/>"),
    ])
      expect(refusalOf(wrong)).toMatch(/^[^\p{Cc}\p{Cf}]*$/u);
  });

  test('a prefix is known by its namespace, and a namespace by any prefix', () => {
    const inside = (uri: string): string =>
      refusalOf(least.replace('</domain>', `<qemu:commandline xmlns:qemu='${uri}'/></domain>`));
    expect(inside('http://evil')).toContain('<{http://evil}commandline> is not supported: remove it');
    expect(inside('http://libvirt.org/schemas/domain/qemu/1.0')).toContain('<qemu:commandline> is not supp');
  });

  test('an entity that was declared is not expanded', () => {
    const bomb = `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>`;
    expect(refusalOf(bomb + least.replace('<name>vm1', '<name>&b;'))).not.toContain('aaaa');
  });
});
