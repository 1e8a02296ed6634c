import { readConfigFile } from '../config/read-config.js';
import { qemuOf } from '../config/engine-spec.js';
import { shellWord } from '../common/shell-word.js';
import { judgeDomain, type Allowed } from '../domain/read-domain.js';
import type { Complaint } from '../domain/place.js';
import type { Vm } from '../domain/vm.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { writeAll } from '../common/write-all.js';

/** `kemari check-config FILE`: what the VM will look like, or all that is wrong with its description. */
export async function checkConfig({
  file,
  json,
  allowed,
}: {
  readonly file: string;
  readonly json: boolean;
  readonly allowed: Allowed;
}): Promise<number> {
  const judged = judgeDomain(await readConfigFile(file), file, allowed);
  if ('complaints' in judged) {
    const complaints = judged.complaints.map(({ line, text }) => ({ line, text }));
    writeAll(1, json ? `${JSON.stringify({ file, complaints })}\n` : listed(file, complaints));
    return exitCode.arguments;
  }
  writeAll(
    1,
    json ? `${JSON.stringify({ file, complaints: [], vm: judged.value })}\n` : describeVm(judged.value),
  );
  return exitCode.ok;
}

/** One line for each, as compilers write them. */
export function listed(file: string, complaints: readonly Complaint[]): string {
  return complaints.map(({ line, text }) => `${file}:${line}: ${text}\n`).join('');
}

function entropyOf({ rng }: Vm): string {
  if (!rng) return 'none';
  const source = rng.source === 'builtin' ? 'QEMU' : `/dev/${rng.source}`;
  return `virtio, ${source}${rng.rate ? `, ${rng.rate.bytes} bytes in ${rng.rate.period_ms} ms` : ''}`;
}

function displayOf({ video, vnc }: Vm): string {
  if (!video) return 'none';
  const port = vnc?.port === undefined ? 'the first free port from 5900 on' : `port ${vnc.port}`;
  return `vga, ${video.memory_mib} MiB${vnc ? `, VNC at ${vnc.address}, ${port}` : ''}`;
}

function describeVm(vm: Vm): string {
  const { sockets = 0, dies = 0, cores = 0, threads = 0 } = vm.topology ?? {};
  const topology = vm.topology
    ? ` (${sockets} sockets of ${dies} dies of ${cores} cores of ${threads} threads)`
    : '';
  const rows: readonly (readonly [string, string])[] = [
    ['uuid', vm.uuid],
    ['memory', `${vm.memory_mib} MiB`],
    ['vCPUs', `${vm.vcpus}${topology}`],
    ['CPU model', vm.cpu],
    ['machine', vm.machine],
    ['accelerator', vm.accel === 'auto' ? 'KVM, or emulation where it cannot be used' : 'emulation'],
    ['QEMU', qemuOf(vm)],
    ['firmware', vm.firmware ?? 'SeaBIOS'],
    ['kernel', vm.kernel],
    ['initrd', vm.initrd],
    ['cmdline', vm.cmdline],
    ...vm.interfaces.map(
      ({ mac, bridge, tap, model }) =>
        ['network', `${mac}, ${model}, bridge ${bridge}${tap === undefined ? '' : `, TAP ${tap}`}`] as const,
    ),
    ['entropy', entropyOf(vm)],
    ['display', displayOf(vm)],
    ['console', vm.console_log ?? '/var/log/kemari/RESOURCE.console'],
    ...(vm.qemu_arguments.length === 0
      ? []
      : [['arguments', vm.qemu_arguments.map(shellWord).join(' ')] as const]),
  ];
  return `${vm.name}\n${rows.map(([name, value]) => `  ${name.padEnd(12)} ${value}\n`).join('')}`;
}
