/** A virtual machine as its domain description says: the same on both nodes. */
export interface Vm {
  readonly name: string;
  readonly uuid: string;
  readonly memory_mib: number;
  /** domain type='kvm' takes KVM where it works; type='qemu' is software. */
  readonly accel: 'auto' | 'tcg';
  /** QEMU's executable, if the description names one. */
  readonly emulator: string | undefined;
  readonly machine: string;
  readonly vcpus: number;
  readonly topology: Topology | undefined;
  /** For QEMU's -cpu. */
  readonly cpu: string;
  /** Whether it has a high precision event timer, as QEMU's machines have by themselves. */
  readonly hpet: boolean;
  /** Read-only firmware, if it is not the default. */
  readonly firmware: string | undefined;
  readonly kernel: string;
  readonly initrd: string;
  readonly cmdline: string;
  /** File of the serial console, if the description names one. */
  readonly console_log: string | undefined;
  readonly interfaces: readonly NetworkInterface[];
  /** Where the guest gets random numbers, if it has a device for that. */
  readonly rng: Rng | undefined;
  /** Its display, a standard VGA adapter, if it has one. */
  readonly video: { readonly memory_mib: number } | undefined;
  /** Where its display can be seen by VNC, on the node that runs it. Without a port, the first one that is free from 5900 on. */
  readonly vnc: { readonly address: string; readonly port: number | undefined } | undefined;
  /** What QEMU is given behind the arguments that all of this makes. */
  readonly qemu_arguments: readonly string[];
}

export interface Topology {
  readonly sockets: number;
  readonly dies: number;
  readonly cores: number;
  readonly threads: number;
}

export interface NetworkInterface {
  readonly mac: string;
  readonly bridge: string;
  /** Name of the TAP device, if the description names one. */
  readonly tap: string | undefined;
  readonly model: 'virtio' | 'e1000';
}

export interface Rng {
  readonly source: 'urandom' | 'random' | 'builtin';
  /** At most so many bytes in each period. */
  readonly rate: { readonly bytes: number; readonly period_ms: number } | undefined;
}
