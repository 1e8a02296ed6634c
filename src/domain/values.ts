import type { Place } from './place.js';

/** Bytes of libvirt's units of memory; `K`, `M` … are powers of 1024 there. */
const UNITS: Readonly<Record<string, bigint>> = {
  b: 1n,
  bytes: 1n,
  KB: 1000n,
  k: 1n << 10n,
  K: 1n << 10n,
  KiB: 1n << 10n,
  MB: 1_000_000n,
  M: 1n << 20n,
  MiB: 1n << 20n,
  GB: 1_000_000_000n,
  G: 1n << 30n,
  GiB: 1n << 30n,
  TB: 1_000_000_000_000n,
  T: 1n << 40n,
  TiB: 1n << 40n,
};
const MEMORY_MAX_MIB = 1024 * 1024;
const MEMORY_LEAST_MIB = 32;

/** The whole number that an element's text or an attribute holds. */
export function wholeNumber(place: Place, value: string, what: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= least && number <= most))
    return place.refuse(`has ${what} "${value}": write a whole number from ${least} to ${most}`);
  return number;
}

/** An amount of RAM; KiB where there is no unit. @returns MiB. */
export function memoryMib(place: Place): number {
  const unit = place.attribute('unit') ?? 'KiB';
  const text = place.text();
  const scale = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  if (scale === undefined || !/^\d{1,15}$/.test(text))
    return place.refuseText("write a whole number with a unit, such as <memory unit='MiB'>2048</memory>");
  const bytes = BigInt(text) * scale;
  const mib = Number(bytes >> 20n);
  if (bytes % (1n << 20n) !== 0n || mib < MEMORY_LEAST_MIB || mib > MEMORY_MAX_MIB) {
    return place.refuse(
      `is ${bytes} bytes: write a whole number of MiB, from ${MEMORY_LEAST_MIB} to ${MEMORY_MAX_MIB}`,
    );
  }
  return mib;
}

/** A file. Without what QEMU's options are separated by. */
export function absolutePath(place: Place, path: string): string {
  if (/^\/[^\p{Cc},]{1,1023}$/u.test(path)) return path;
  return place.refuse(
    `has "${path.slice(0, 100)}": write an absolute path of at most 1024 characters, without commas`,
  );
}

/** IFNAMSIZ is 16 with its terminator. */
export function interfaceName(place: Place, name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(name)) return name;
  return place.refuse(
    `has "${name.slice(0, 100)}": write the name of a network interface of at most 15 characters`,
  );
}

/** What QEMU calls something: a CPU model, a feature, a machine type. */
export function qemuName(place: Place, name: string, example: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$/.test(name)) return name;
  return place.refuse(`has "${name.slice(0, 100)}": write a name that QEMU knows, such as ${example}`);
}
