import { AgentError, quote } from '../common/error.js';
import { isPrintable, printable } from '../common/printable.js';
import { XmlError, parseDocument, type XmlDocument } from '../common/xml.js';
import { DEFAULT_CPU, readCpu } from './cpu.js';
import { readDevices } from './devices.js';
import { Place, type Complaint } from './place.js';
import { readQemuArguments } from './qemu-arguments.js';
import { remedies } from './remedies.js';
import { absolutePath, memoryMib, qemuName, wholeNumber } from './values.js';
import type { Vm } from './vm.js';

/** https://libvirt.org/drvqemu.html, "Pass-through of arbitrary qemu commands". */
const PREFIXES = { 'http://libvirt.org/schemas/domain/qemu/1.0': 'qemu' };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const VCPUS_MAX = 64;

interface Boot {
  readonly machine: string;
  readonly firmware: string | undefined;
  readonly kernel: string;
  readonly initrd: string;
  readonly cmdline: string;
}

function readOs(place: Place): Boot {
  const machine = place.needed('type', "<type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>", (inner) => {
    inner.oneOf('arch', ['x86_64']);
    if (inner.text() !== 'hvm') inner.refuseText('write hvm');
    const name = qemuName(inner, inner.required('machine', 'pc-i440fx-7.2'), 'pc-i440fx-7.2');
    if (!/-\d+\.\d+$/.test(name))
      return inner.refuse(
        `has machine='${name}', which is another machine with each QEMU: write a version, such as pc-i440fx-7.2`,
      );
    return name;
  });
  const firmware = place.one('loader', (inner) => {
    if (inner.attribute('readonly') !== 'yes')
      return inner.refuse("must have readonly='yes': what is written to it would not be on the other node");
    inner.oneOf('type', ['pflash', 'rom']);
    inner.oneOf('stateless', ['yes']);
    return absolutePath(inner, inner.text());
  });
  const file = (name: string): string | undefined =>
    place.needed(name, `<${name}>FILE</${name}>: without disks the guest boots from a kernel`, (inner) =>
      absolutePath(inner, inner.text()),
    );
  const [kernel, initrd] = [file('kernel'), file('initrd')];
  const cmdline = place.one('cmdline', (inner) => {
    const text = inner.text();
    if (!isPrintable(text))
      return inner.refuse('has a line break, or characters that steer a terminal: write one line of text');
    return text.length <= 2048 ? text : inner.refuse('has more than 2048 characters: shorten it');
  });
  return { ...place.whole({ machine, kernel, initrd }), firmware, cmdline: cmdline ?? '' };
}

/** @returns whether there is a high precision event timer. */
function readClock(place: Place): boolean {
  place.oneOf('offset', ['utc']);
  const timers = place.all('timer', (timer) => {
    const name = timer.required('name', 'rtc');
    if (name === 'hpet') return timer.oneOf('present', ['yes', 'no']) === 'yes';
    if (name !== 'rtc' && name !== 'pit')
      return timer.refuse(`name='${name.slice(0, 40)}' is not supported: remove it`);
    timer.oneOf('tickpolicy', ['delay', 'catchup']);
    return true;
  });
  return !timers.includes(false);
}

/** What libvirt's own tools write for every guest, and what it stands for. */
function readUsual(place: Place): void {
  place.needed('features', '<features><acpi/></features>', (inner) => {
    inner.needed('acpi', '<acpi/>: without it the guest cannot be asked to shut down', () => undefined);
    inner.skipAll('apic', 'pae');
    inner.one('vmport', (port) => port.oneOf('state', ['off']));
  });
  const ends = { on_poweroff: ['destroy'], on_reboot: ['restart'], on_crash: ['destroy', 'restart'] };
  for (const [name, words] of Object.entries(ends)) {
    place.one(name, (inner) => {
      if (!words.includes(inner.text())) inner.refuseText(`write ${words[0] ?? ''}: Pacemaker does the rest`);
    });
  }
  place.one('pm', (inner) => {
    for (const name of ['suspend-to-mem', 'suspend-to-disk'])
      inner.one(name, (one) => {
        if (one.attribute('enabled') !== 'no')
          one.refuse("must have enabled='no': a guest that sleeps looks like one that is down");
      });
  });
  place.skipAll('title', 'description', 'metadata');
}

/** What a description may say only where somebody has allowed it. */
export interface Allowed {
  /** To add arguments to QEMU's command line. */
  readonly qemu_commandline?: boolean;
}

function readRoot(place: Place, allowed: Allowed): Vm {
  if (place.name !== 'domain')
    return place.refuse('is not a libvirt <domain>: name the file that virsh dumpxml wrote');
  place.skip('id');
  const type = place.required('type', 'kvm');
  if (type !== 'kvm' && type !== 'qemu')
    return place.refuse(`has type='${type.slice(0, 40)}': write kvm or qemu`);
  const name = place.needed('name', '<name>vm1</name>', (inner) => qemuName(inner, inner.text(), 'vm1'));
  const uuid = place.needed('uuid', '<uuid> (uuidgen makes one), the same on both nodes', (inner) => {
    const text = inner.text();
    if (!UUID.test(text)) inner.refuseText('write a UUID (uuidgen makes one), the same on both nodes');
    return text.toLowerCase();
  });
  const memory_mib = place.needed('memory', "<memory unit='MiB'>2048</memory>", (inner) => {
    inner.oneOf('dumpCore', ['on', 'off']);
    return memoryMib(inner);
  });
  place.one('currentMemory', (inner) => {
    const current = memoryMib(inner);
    if (memory_mib !== undefined && current !== memory_mib)
      inner.refuse('differs from <memory>: make them equal, or remove it; there is no balloon');
  });
  const vcpus = place.needed('vcpu', '<vcpu>1</vcpu>', (inner) => {
    inner.oneOf('placement', ['static']);
    return wholeNumber(inner, inner.text(), 'the number', 1, VCPUS_MAX);
  });
  const { cpu, topology } = place.one('cpu', readCpu) ?? DEFAULT_CPU;
  const hpet = place.one('clock', readClock) ?? true;
  readUsual(place);
  const boot = place.needed('os', "<os> with <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>", readOs);
  const devices = place.needed('devices', '<devices> with an <interface>', readDevices);
  // Where it is not allowed nobody takes it, and so it is refused like whatever is not known.
  const qemu_arguments =
    allowed.qemu_commandline === true ? place.one('qemu:commandline', readQemuArguments) : undefined;
  const parts = place.whole({ name, uuid, memory_mib, vcpus, boot, devices });
  if (topology) {
    const { sockets, dies, cores, threads } = topology;
    const product = sockets * dies * cores * threads;
    if (product !== parts.vcpus)
      return place.refuse(`has ${parts.vcpus} vCPUs, but the <topology> of ${product}: make them equal`);
  }
  return {
    name: parts.name,
    uuid: parts.uuid,
    memory_mib: parts.memory_mib,
    accel: type === 'kvm' ? 'auto' : 'tcg',
    vcpus: parts.vcpus,
    topology,
    cpu,
    hpet,
    ...parts.boot,
    ...parts.devices,
    qemu_arguments: qemu_arguments ?? [],
  };
}

type Judged = { readonly value: Vm } | { readonly complaints: readonly Complaint[] };

/**
 * A libvirt domain description (https://libvirt.org/formatdomain.html), of which a subset is known.
 *
 * @returns the VM, or what is wrong, in the order of lines.
 * @throws AgentError bad-config: it is no XML that could be read; FILE:LINE: what is wrong.
 */
export function judgeDomain(text: string, file: string, allowed: Allowed = {}): Judged {
  return judge(parseDomain(text, file), allowed);
}

/** The same. @throws AgentError bad-config: FILE:LINE: what is wrong first, and what to write instead. */
export function readDomain(text: string, file: string, allowed: Allowed = {}): Vm {
  const judged = judgeDomain(text, file, allowed);
  if ('value' in judged) return judged.value;
  const [first, ...more] = judged.complaints;
  const rest =
    more.length === 0 ? '' : ` (and ${more.length} more: kemari check-config ${file} shows all of it)`;
  throw new AgentError('bad-config', `${file}:${first?.line ?? 1}: ${first?.text ?? 'it is refused'}${rest}`);
}

/** The VM's name, if the description has one that could be a resource's. @throws AgentError bad-config: as [`parseDomain`]. */
export function nameOf(text: string, file: string): string | undefined {
  const name = parseDomain(text, file).root.children.find((child) => child.name === 'name')?.text ?? '';
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name) ? name : undefined;
}

/** What is wrong with a document that has been read. */
export function complaintsOf(document: XmlDocument, allowed: Allowed = {}): readonly Complaint[] {
  const judged = judge(document, allowed);
  return 'complaints' in judged ? judged.complaints : [];
}

function judge({ root }: XmlDocument, allowed: Allowed): Judged {
  return Place.read(root, remedies, (place) => readRoot(place, allowed));
}

/** @throws AgentError bad-config: it is no XML that could be read; FILE:LINE: what is wrong. */
export function parseDomain(text: string, file: string): XmlDocument {
  if (text.includes('\0'))
    throw new AgentError('bad-config', `${file} is not text: name the file that virsh dumpxml wrote`);
  try {
    return parseDocument(text, PREFIXES);
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    throw new AgentError(
      'bad-config',
      `${file}:${error.line}: not a libvirt domain description (${printable(quote(error.message))}): ${error.remedy ?? 'correct it; xmllint --noout shows the place'}`,
      { cause: error },
    );
  }
}
