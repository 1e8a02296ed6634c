import type { Place } from './place.js';
import { absolutePath, wholeNumber } from './values.js';

/** Where the bytes of a disk are. */
export type DiskSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'block'; readonly path: string }
  | { readonly kind: 'nbd'; readonly host: string; readonly port: number; readonly export_name: string };

export interface Disk {
  /** As the guest may know it: vda. */
  readonly name: string;
  readonly source: DiskSource;
  readonly format: 'raw' | 'qcow2';
  readonly read_only: boolean;
  /** What udev in the guest names it after. */
  readonly serial: string | undefined;
}

const NBD_PORT = 10_809;

function nbdSource(place: Place): DiskSource {
  place.required('protocol', 'nbd');
  place.oneOf('protocol', ['nbd']);
  const export_name = place.attribute('name') ?? '';
  if (!/^[A-Za-z0-9_./-]{0,255}$/.test(export_name))
    return place.refuse(
      `has name="${export_name.slice(0, 100)}": write letters, digits, "_", ".", "/" and "-"`,
    );
  const host = place.needed('host', "<host name='10.0.0.9' port='10809'/>", (inner) => {
    inner.oneOf('transport', ['tcp']);
    const name = inner.required('name', '10.0.0.9');
    if (!/^[A-Za-z0-9][A-Za-z0-9.:-]{0,254}$/.test(name))
      return inner.refuse(`has name="${name.slice(0, 100)}": write a host name or an address`);
    return { name, port: wholeNumber(inner, inner.attribute('port') ?? String(NBD_PORT), 'port', 1, 65_535) };
  });
  const found = place.whole({ host }).host;
  return { kind: 'nbd', host: found.name, port: found.port, export_name };
}

function sourceOf(place: Place, type: 'file' | 'block' | 'network'): DiskSource {
  // Which of a disk's files was in use when virsh wrote this.
  place.skip('index');
  if (type === 'network') return nbdSource(place);
  const name = type === 'file' ? 'file' : 'dev';
  const path = absolutePath(place, place.required(name, type === 'file' ? '/srv/vm1.img' : '/dev/drbd0'));
  return { kind: type, path };
}

function formatOf(place: Place): 'raw' | 'qcow2' {
  place.oneOf('name', ['qemu']);
  // How the host's cache is used, and what is given back to it, the engine decides: what is acknowledged must be there.
  place.skip(
    'cache',
    'io',
    'discard',
    'detect_zeroes',
    'error_policy',
    'rerror_policy',
    'iothread',
    'queues',
  );
  return place.oneOf('type', ['raw', 'qcow2']);
}

/** One disk of a VM. CD-ROM and floppy drives are refused: a medium of one host cannot be there on the other. */
export function readDisk(place: Place): Disk {
  const type = place.oneOf('type', ['file', 'block', 'network']);
  place.required('type', 'file');
  place.oneOf('device', ['disk']);
  place.oneOf('snapshot', ['no']);
  const source = place.needed('source', sourceExample(type), (inner) => sourceOf(inner, type));
  const format = place.one('driver', formatOf) ?? 'raw';
  const name = place.needed('target', "<target dev='vda' bus='virtio'/>", (inner) => {
    inner.oneOf('bus', ['virtio']);
    const dev = inner.required('dev', 'vda');
    return /^vd[a-z]{1,2}$/.test(dev) ? dev : inner.refuse(`has dev="${dev.slice(0, 40)}": write vda, vdb …`);
  });
  const read_only = place.one('readonly', () => true) ?? false;
  const serial = place.one('serial', (inner) => {
    const text = inner.text();
    return /^[A-Za-z0-9_.-]{1,20}$/.test(text)
      ? text
      : inner.refuseText('write at most 20 letters, digits, "_", "." and "-"');
  });
  place.skipAll('alias', 'backingStore', 'boot');
  return { ...place.whole({ name, source }), format, read_only, serial };
}

function sourceExample(type: 'file' | 'block' | 'network'): string {
  if (type === 'network')
    return "<source protocol='nbd' name='vm1'><host name='10.0.0.9' port='10809'/></source>";
  return type === 'file' ? "<source file='/srv/vm1.img'/>" : "<source dev='/dev/drbd0'/>";
}
