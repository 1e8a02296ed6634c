// The command line of the unprotected guest: the protected guest's, as QEMU was really started with it, on a TAP device
// of its own and without anything of Kemari's.

export interface PlainMachine {
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
  readonly console_log: string;
}

type Change = (value: string, machine: PlainMachine) => string;

/** Options whose value changes, each by the start of its value. All of them must be there. */
const CHANGES: readonly (readonly [option: string, start: string, change: Change])[] = [
  ['-netdev', 'dgram,', (_, { tap }) => `tap,id=net0,ifname=${tap},script=no,downscript=no,vhost=off`],
  [
    '-device',
    'virtio-net-pci,',
    // ioeventfd: as a guest has it whom nobody stops hundreds of times a second.
    (value, { mac }) => value.replace(/mac=[^,]*/, `mac=${mac}`).replace('ioeventfd=off', 'ioeventfd=on'),
  ],
  [
    '-object',
    'memory-backend-file,id=ram,',
    (value) => value.replace('memory-backend-file', 'memory-backend-memfd').replace(/,mem-path=[^,]*/, ''),
  ],
  ['-append', '', (value, { address }) => value.replace(/kemari\.ip=\S+/, `kemari.ip=${address}/24`)],
  ['-chardev', 'file,id=console,', (_, { console_log }) => `file,id=console,path=${console_log}`],
];

/** Options that go, with their values. The engine's control connections, and what makes a QEMU wait. */
const DROPPED = /^-chardev \w+,id=(talk|orders),|^-mon |^-incoming /;

/** @throws when the command line is not as the engine makes it today: then the comparison would not be fair. */
export function plainCommand(command: readonly string[], machine: PlainMachine): string[] {
  const result: string[] = [];
  const missing = new Set(CHANGES);
  for (let index = 0; index < command.length; index += 1) {
    const option = command[index] ?? '';
    const value = command[index + 1] ?? '';
    if (option === '-S') continue;
    if (DROPPED.test(`${option} ${value}`)) {
      index += 1;
      continue;
    }
    const entry = CHANGES.find(([name, start]) => name === option && value.startsWith(start));
    result.push(option);
    if (entry) {
      missing.delete(entry);
      result.push(entry[2](value, machine));
      index += 1;
    }
  }
  if (missing.size > 0) {
    const names = [...missing].map(([option, start]) => `${option} ${start}`).join('; ');
    throw new Error(`the protected guest's QEMU was not started with: ${names}`);
  }
  const rest = result.filter((word) => word.includes('/proc/self/fd') || /(^|,)fd=/.test(word));
  if (rest.length > 0) throw new Error(`the unprotected guest cannot have the engine's ${rest.join(' ')}`);
  return result;
}
