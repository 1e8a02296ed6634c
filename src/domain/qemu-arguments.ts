import { isPrintable, printable } from '../common/printable.js';
import type { Place } from './place.js';

/**
 * What a description may add to QEMU's command line is told by a list of what is taken, not of what is refused: each QEMU has
 * options that the one before did not have, and many are a way into the guest or out of it that nobody holds. `-only-migratable` does
 * not make up for it: QEMU refuses a device that it knows cannot be carried, but one without a description of its state (`edu`) just
 * arrives empty. So a device is here if `qemu-system-x86_64 -dump-vmstate` has its state, or it has none to lose (`pvpanic`), and if
 * it has neither memory nor a back end. The engine looks at the machine that comes of it as at any other: its RAM blocks, and
 * whether both hosts have the same.
 */
const DEVICES: readonly string[] = [
  'i6300esb',
  'ib700',
  'pvpanic',
  'pvpanic-pci',
  'vmcoreinfo',
  'usb-tablet',
  'usb-mouse',
  'usb-kbd',
  'usb-hub',
  'qemu-xhci',
  'nec-usb-xhci',
  'usb-ehci',
  'piix3-usb-uhci',
  'virtio-tablet-pci',
  'virtio-keyboard-pci',
  'virtio-mouse-pci',
  'pcie-root-port',
  'pcie-pci-bridge',
  'pci-bridge',
];

/** Properties that say where a device is; others may name a back end. */
const DEVICE_PROPERTIES: readonly string[] = [
  'id',
  'bus',
  'addr',
  'port',
  'multifunction',
  'chassis',
  'chassis_nr',
  'slot',
  'ioport',
  'p2',
  'p3',
];

/** No file: only the arguments are compared between the nodes. */
const SMBIOS_PROPERTIES: readonly string[] = [
  'type',
  'vendor',
  'version',
  'date',
  'release',
  'uefi',
  'manufacturer',
  'product',
  'serial',
  'uuid',
  'sku',
  'family',
  'asset',
  'location',
  'value',
];

/** `pause` and `debug` would end the guest without its power being off. */
const WATCHDOG_ACTIONS: readonly string[] = ['reset', 'shutdown', 'poweroff', 'inject-nmi', 'none'];

/** Of what has no element, and does not belong to a device that has one. */
const GLOBALS: readonly string[] = [
  'ICH9-LPC.disable_s3',
  'ICH9-LPC.disable_s4',
  'ICH9-LPC.noreboot',
  'PIIX4_PM.disable_s3',
  'PIIX4_PM.disable_s4',
  'mc146818rtc.lost_tick_policy',
  'kvm-pit.lost_tick_policy',
];

type Property = readonly [name: string, value: string];

/** QEMU's `get_opt_name_value()`: commas are doubled in a value, and the name of the first one may be left out. */
function properties(value: string, first: string): readonly Property[] {
  return value
    .replaceAll(',,', '\0')
    .split(',')
    .map((part, index) => {
      const at = part.indexOf('=');
      const whole = part.replaceAll('\0', ',');
      if (at >= 0) return [part.slice(0, at), part.slice(at + 1).replaceAll('\0', ',')];
      return index === 0 ? [first, whole] : [whole, 'on'];
    });
}

/** @returns what is wrong with the value of an option, and what to write instead. */
type Judge = (value: string) => string | undefined;

/** Options that are taken; each has a value. */
const OPTIONS: Readonly<Record<string, Judge>> = {
  device(value) {
    const [[name, kind] = ['', ''], ...more] = properties(value, 'driver');
    if (name !== 'driver' || !DEVICES.includes(kind))
      return `has the device "${shown(kind)}", whose state, memory or outputs nobody holds: write one of ${DEVICES.join(', ')}`;
    return judgeNames('a device', DEVICE_PROPERTIES, more);
  },
  fw_cfg(value) {
    const given = properties(value, 'name');
    const names = given.filter(([name]) => name === 'name').map(([, text]) => text);
    const isKnown = given.every(([name]) => name === 'name' || name === 'string');
    return isKnown && names.length === 1 && names[0]?.startsWith('opt/') === true
      ? undefined
      : `has "${shown(value)}": write name=opt/NAME,string=TEXT; a file might be another one on the other node`;
  },
  smbios: (value) => judgeNames('-smbios', SMBIOS_PROPERTIES, properties(value, 'type')),
  rtc(value) {
    const isKnown = properties(value, 'base').every(
      ([name, text]) =>
        (name === 'base' && /^(utc|\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?)$/.test(text)) ||
        (name === 'driftfix' && ['none', 'slew'].includes(text)),
    );
    return isKnown ? undefined : `has "${shown(value)}": write base=utc or a date, and driftfix=none or slew`;
  },
  action(value) {
    // Unlike others it has no name that may be left out.
    const isKnown = properties(value, '').every(
      ([name, text]) => name === 'watchdog' && WATCHDOG_ACTIONS.includes(text),
    );
    return isKnown
      ? undefined
      : `has "${shown(value)}": write watchdog= and one of ${WATCHDOG_ACTIONS.join(', ')}`;
  },
  global(value) {
    const at = Math.max(0, value.indexOf('='));
    const name = value.slice(0, at);
    if (!GLOBALS.includes(name))
      return `has "${shown(value)}": write NAME=VALUE with one of ${GLOBALS.join(', ')}`;
    return /\.disable_s[34]$/.test(name) && value.slice(at + 1) !== '1'
      ? `has "${shown(value)}": write ${name}=1; a guest that suspends itself is one that does not answer`
      : undefined;
  },
};

function judgeNames(of: string, known: readonly string[], given: readonly Property[]): string | undefined {
  const other = given.find(([name]) => !known.includes(name))?.[0];
  return other === undefined
    ? undefined
    : `has the property "${shown(other)}" of ${of}: write one of ${known.join(', ')}`;
}

const TAKEN = Object.keys(OPTIONS)
  .map((name) => `-${name}`)
  .join(', ');

const INSTEAD: readonly (readonly [options: readonly string[], instead: string])[] = [
  [['netdev', 'nic', 'net'], "write an <interface type='bridge'>: what leaves by any other is not held"],
  [
    [
      'drive',
      'blockdev',
      'hda',
      'hdb',
      'hdc',
      'hdd',
      'cdrom',
      'fda',
      'fdb',
      'sd',
      'pflash',
      'mtdblock',
      'snapshot',
    ],
    'what is written to it would not be on the other node; this version has no disks',
  ],
  [
    ['chardev', 'serial', 'parallel', 'monitor', 'mon', 'qmp', 'qmp-pretty', 'gdb', 's', 'debugcon'],
    "write <serial type='pty'/> or <serial type='file'>; nobody but the engine speaks to QEMU",
  ],
  [['m', 'mem-path', 'mem-prealloc', 'numa'], "write <memory>: the engine shares the guest's RAM with QEMU"],
  [['machine', 'M', 'bios', 'kernel', 'initrd', 'append', 'no-acpi', 'dtb'], 'write it in <os>'],
  [['accel', 'enable-kvm', 'no-kvm', 'icount'], "write <domain type='kvm'> or type='qemu'"],
  [['cpu', 'smp'], 'write it in <cpu> and <vcpu>'],
  [['name', 'uuid'], 'write it in <name> and <uuid>'],
  [
    ['vga', 'display', 'vnc', 'spice', 'nographic', 'full-screen', 'sdl', 'curses'],
    'write it in <video> and <graphics>',
  ],
  [['object'], 'write the element that needs it'],
  [
    ['incoming', 'S', 'loadvm', 'only-migratable', 'preconfig', 'no-reboot', 'no-shutdown'],
    'the engine starts the guest, stops it and carries it to the other node',
  ],
  [
    [
      'daemonize',
      'pidfile',
      'sandbox',
      'runas',
      'run-with',
      'chroot',
      'nodefaults',
      'no-user-config',
      'readconfig',
      'add-fd',
    ],
    'the engine runs QEMU, and knows all that it is given',
  ],
];

/** The option that a word is, without its dashes: QEMU takes one or two. */
function optionOf(word: string): string | undefined {
  return /^--?(?=.)/.test(word) ? word.replace(/^--?/, '') : undefined;
}

/** Characters of a word that a sentence repeats. */
const SHOWN = 60;

function shown(word: string): string {
  return printable(word.length <= SHOWN ? word : `${word.slice(0, SHOWN)}…`);
}

function refusalOf(word: string, option: string): string {
  const instead = INSTEAD.find(([options]) => options.includes(option))?.[1];
  return instead === undefined
    ? `${shown(word)} is not taken: remove it; ${TAKEN} are`
    : `${shown(word)} is not taken: remove it; ${instead}`;
}

const WORDS_MAX = 64;
const BYTES_MAX = 1024;

interface Word {
  readonly text: string;
  complain(why: string): void;
}

function readWord(place: Place): Word {
  const text = place.required('value', '-device');
  if (Buffer.byteLength(text) > BYTES_MAX || !isPrintable(text))
    return place.refuse(
      `has a value of more than ${BYTES_MAX} bytes, or with control characters: write one line of text`,
    );
  return {
    text,
    complain: (why) => {
      place.complain(why);
    },
  };
}

/** `<qemu:commandline>`, where it is allowed. @returns what QEMU is given behind the engine's own arguments. */
export function readQemuArguments(place: Place): readonly string[] {
  const words = place.all('qemu:arg', readWord);
  const count = place.count('qemu:arg');
  if (count > WORDS_MAX) return place.refuse(`has ${count} arguments: at most ${WORDS_MAX} are possible`);
  // With one missing that was refused, nobody knows what belongs together.
  if (words.length < count) return [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index];
    if (word === undefined) break;
    const option = optionOf(word.text);
    if (option === undefined) {
      word.complain(`${shown(word.text)} is no option, so QEMU would take it for a disk: remove it`);
      continue;
    }
    const judge = Object.hasOwn(OPTIONS, option) ? OPTIONS[option] : undefined;
    const next = words[index + 1];
    const value = next !== undefined && optionOf(next.text) === undefined ? next : undefined;
    if (judge === undefined) word.complain(refusalOf(word.text, option));
    else if (value === undefined)
      word.complain(`${shown(word.text)} lacks its value: add it as the next <qemu:arg>`);
    else {
      const wrong = judge(value.text);
      if (wrong !== undefined) value.complain(wrong);
    }
    if (value !== undefined) index += 1;
  }
  return words.map(({ text }) => text);
}
