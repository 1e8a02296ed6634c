import type { Place } from './place.js';
import { wholeNumber } from './values.js';
import type { Vm } from './vm.js';

/** What the engine takes, which is what QEMU's standard VGA adapter takes and a replica has room for. */
const MEMORY_MIB = [8, 16, 32, 64];
/** libvirt's default. */
const MEMORY_KIB = 16_384;
const PORT_LEAST = 5900;
const LOOPBACK = ['127.0.0.1', '::1'] as const;
const NO_PASSWORD =
  "whoever reaches it has the keyboard, and a password would be in QEMU's arguments: write 127.0.0.1, and reach it by ssh -L";

function loopback(place: Place, name: string): (typeof LOOPBACK)[number] | undefined {
  const address = place.attribute(name);
  if (address === undefined) return undefined;
  if (address === 'localhost') return '127.0.0.1';
  const known = LOOPBACK.find((one) => one === address);
  return (
    known ?? place.refuseAttribute(name, '127.0.0.1', `has ${name}='${address.slice(0, 60)}': ${NO_PASSWORD}`)
  );
}

/** Its memory is carried to the other node as RAM is: a card with more than that, or another kind of it, is not. */
function card(place: Place): Vm['video'] {
  const type = place.required('type', 'vga');
  place.oneOf('heads', ['1']);
  place.oneOf('primary', ['yes']);
  if (type === 'none') return undefined;
  if (type !== 'vga')
    return place.refuseUnless(
      'type',
      'vga',
      `has type='${type.slice(0, 40)}', whose memory no replica would have: write type='vga' or type='none'`,
    );
  const kib = wholeNumber(place, place.attribute('vram') ?? String(MEMORY_KIB), 'vram', 1, 1 << 20);
  const memory_mib = kib / 1024;
  if (!MEMORY_MIB.includes(memory_mib))
    return place.refuseAttribute(
      'vram',
      String(MEMORY_KIB),
      `has vram='${kib}': write ${MEMORY_MIB.map((mib) => mib * 1024).join(', ')} (KiB)`,
    );
  return { memory_mib };
}

export function readVideo(place: Place): Vm['video'] | 'none' {
  const model = place.needed('model', "<model type='vga'/>", (inner) => ({ video: card(inner) }));
  place.skipAll('alias');
  return place.whole({ model }).model.video ?? 'none';
}

/** A VNC server on whichever node runs the guest. */
export function readGraphics(place: Place): NonNullable<Vm['vnc']> {
  const type = place.required('type', 'vnc');
  if (type !== 'vnc')
    return place.refuseUnless('type', 'vnc', `has type='${type.slice(0, 40)}': write type='vnc'`);
  // Not even said again.
  if (place.attribute('passwd') !== undefined)
    return place.refuse(`has a password: remove it; ${NO_PASSWORD}`);
  const isAutomatic = place.oneOf('autoport', ['no', 'yes']) === 'yes';
  const given = place.attribute('port') ?? '-1';
  place.oneOf('sharePolicy', ['allow-exclusive', 'force-shared', 'ignore']);
  const own = loopback(place, 'listen');
  const child = place.one('listen', (inner) => {
    inner.required('type', 'address');
    inner.oneOf('type', ['address']);
    return loopback(inner, 'address');
  });
  place.skipAll('alias');
  // virsh writes the port that was chosen for a guest that once ran.
  const isChosen = isAutomatic || given === '-1';
  const port = isChosen ? undefined : wholeNumber(place, given, 'port', PORT_LEAST, 65_535);
  return { address: child ?? own ?? '127.0.0.1', port };
}
