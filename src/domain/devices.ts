import { readDisk } from './disks.js';
import type { Place } from './place.js';
import { readGraphics, readVideo } from './display.js';
import { readRng } from './rng.js';
import { absolutePath, interfaceName } from './values.js';
import type { NetworkInterface, Rng, Vm } from './vm.js';

const INTERFACES_MAX = 8;

export interface Devices {
  readonly emulator: string | undefined;
  readonly console_log: string | undefined;
  readonly interfaces: readonly NetworkInterface[];
  readonly rng: Rng | undefined;
  readonly video: Vm['video'];
  readonly vnc: Vm['vnc'];
}

function networkInterface(place: Place): NetworkInterface {
  const type = place.required('type', 'bridge');
  if (type !== 'bridge')
    return place.refuse(
      `has type='${type}': write type='bridge' and <source bridge='br0'/>, a bridge of both nodes`,
    );
  const mac = place.needed('mac', "<mac address='52:54:00:6b:00:01'/>, the same on both nodes", (inner) => {
    const address = inner.required('address', '52:54:00:6b:00:01');
    if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(address))
      return inner.refuse(
        `has "${address.slice(0, 40)}": write a unicast MAC address such as 52:54:00:6b:00:01`,
      );
    return address.toLowerCase();
  });
  const bridge = place.needed('source', "<source bridge='br0'/>", (inner) =>
    interfaceName(inner, inner.required('bridge', 'br0')),
  );
  const model = place.needed('model', "<model type='virtio'/>", (inner) => {
    const name = inner.required('type', 'virtio');
    if (name === 'virtio' || name === 'virtio-transitional') return 'virtio' as const;
    if (name === 'e1000') return name;
    return inner.refuse(`has type='${name.slice(0, 40)}': write type='virtio' or type='e1000'`);
  });
  const tap = place.one('target', (inner) => interfaceName(inner, inner.required('dev', 'vm1-net')));
  // The names that libvirt gives by itself: it too takes them for none.
  const isGiven = tap !== undefined && !/^vnet\d+$/.test(tap);
  place.one('link', (inner) => inner.oneOf('state', ['up']));
  place.skipAll('alias');
  return { ...place.whole({ mac, bridge, model }), tap: isGiven ? tap : undefined };
}

/** What two of them have that each needs for itself. */
function sharedBy(interfaces: readonly NetworkInterface[]): string | undefined {
  for (const [number, { mac, tap }] of interfaces.entries()) {
    const others = interfaces.slice(0, number);
    if (others.some((other) => other.mac === mac))
      return `has two interfaces with the MAC address ${mac}: give each one of its own`;
    if (tap !== undefined && others.some((other) => other.tap === tap))
      return `has two interfaces with <target dev='${tap}'/>: give each one of its own`;
  }
  return undefined;
}

/** A file that collects what is written to it; a pty's words go to the resource's own log. */
function serial(place: Place): string | undefined {
  const type = place.required('type', 'pty');
  if (type !== 'pty' && type !== 'file')
    return place.refuse(
      `has type='${type.slice(0, 40)}': write type='pty', or type='file' with a <source path='…'/>`,
    );
  place.skip('tty');
  const path = place.one('source', (inner) => {
    inner.oneOf('append', ['on']);
    const given = inner.attribute('path');
    // A pty's path is one of a guest that once ran.
    return type === 'pty' || given === undefined ? undefined : absolutePath(inner, given);
  });
  place.one('target', (inner) => {
    inner.oneOf('type', place.name === 'console' ? ['serial'] : ['isa-serial', 'isa']);
    inner.oneOf('port', ['0']);
    inner.one('model', (model) => model.oneOf('name', ['isa-serial']));
  });
  place.skipAll('alias');
  if (type === 'file' && path === undefined)
    return place.refuse("has type='file' without a <source path='…'/>: add it");
  return path;
}

function controller(place: Place): void {
  const type = place.required('type', 'pci');
  const model = place.attribute('model');
  place.skip('index');
  place.skipAll('alias');
  const isNone = type === 'usb' && model === 'none';
  const isRoot = type === 'pci' && (model === 'pci-root' || model === 'pcie-root');
  if (!isNone && !isRoot) {
    const what = `type='${type.slice(0, 40)}'${model === undefined ? '' : ` model='${model.slice(0, 40)}'`}`;
    return place.refuseSpare(
      `${what} is not supported: remove it${type === 'usb' ? ", or write model='none'" : ''}`,
    );
  }
}

export function readDevices(place: Place): Devices {
  const emulator = place.one('emulator', (inner) => absolutePath(inner, inner.text()));
  const interfaces = place.all('interface', networkInterface);
  const count = place.count('interface');
  if (count < 1 || count > INTERFACES_MAX)
    return place.refuse(`has ${count} interfaces: a VM has 1 to ${INTERFACES_MAX}`);
  const shared = sharedBy(interfaces);
  if (shared) return place.refuse(shared);
  const disks = place.all('disk', (inner) => {
    const disk = readDisk(inner);
    // Whatever else is wrong with it is said too.
    inner.complain(
      `${disk.name} is not supported yet: this version has no disks; boot from <kernel> and <initrd>`,
    );
    return disk;
  });
  const twice = disks.find(({ name }, index) => disks.findIndex((one) => one.name === name) !== index);
  if (twice) return place.refuse(`has two disks ${twice.name}: give each <target dev> once`);
  const serials = place.all('serial', serial);
  const consoles = place.all('console', serial);
  if (place.count('serial') > 1 || place.count('console') > 1)
    return place.refuse('has more than one serial port: remove all but the first');
  const rng = place.one('rng', readRng);
  const video = place.one('video', readVideo);
  const vnc = place.one('graphics', (inner) => {
    const found = readGraphics(inner);
    if (place.count('video') === 0)
      return inner.refuse("has nothing to show: add <video><model type='vga'/></video>, or remove it");
    return video === 'none' ? inner.refuseSpare('has nothing to show: remove it') : found;
  });
  place.all('controller', controller);
  place.all('input', (inner) => {
    const type = inner.required('type', 'mouse');
    inner.skipAll('alias');
    if ((type !== 'mouse' && type !== 'keyboard') || inner.attribute('bus') !== 'ps2')
      return inner.refuseSpare("is not supported: remove it, or write type='mouse' bus='ps2'");
  });
  place.all('memballoon', (inner) => {
    if (inner.attribute('model') !== 'none')
      return inner.refuseUnless(
        'model',
        'none',
        "is not supported: write <memballoon model='none'/>; a balloon would change what RAM there is",
      );
  });
  return {
    emulator,
    console_log: serials[0] ?? consoles[0],
    interfaces,
    rng,
    video: video === 'none' ? undefined : video,
    vnc,
  };
}
