import { AgentError } from '../common/error.js';
import { logLevels } from '../common/log-level.js';
import type { Environment } from '../common/paths.js';
import {
  flag,
  hostNamePart,
  oneOf,
  oneOfKnown,
  path,
  paths,
  syncAddresses,
  time,
  whole,
  type Kind,
} from './parameter-kinds.js';

/** A parameter of the agent. */
export interface Parameter<T = unknown> {
  readonly kind: Kind<T>;
  /** What it is if it is left out; a parameter without it must be given. */
  readonly fallback?: string;
  /** A running VM takes another value as it is (reload-agent); any other parameter restarts it. */
  readonly reloadable?: boolean;
  readonly short: string;
  /** Whole sentences; what it may be, and what that means. */
  readonly long: string;
}

function parameter<T>(one: Parameter<T>): Parameter<T> {
  return one;
}

const MS = 1000;
const S = 1_000_000;

/** The one table of the OCF parameters: validation, metadata and help are made from it. */
export const parameters = {
  config: parameter({
    kind: path('/etc/kemari/vm1.xml'),
    short: 'libvirt domain XML of the VM',
    long: `Path of the libvirt domain XML that describes the virtual machine, the same file on every node. kemari check-config FILE
says what the VM will look like, or what of the description is not supported and what to write instead.`,
  }),
  sync_address: parameter({
    kind: syncAddresses,
    fallback: '',
    short: 'Addresses of the nodes on the sync network',
    long: `All nodes that may run the VM or hold its replica, as crm_node -l names them, and their addresses on the network that
checkpoints travel on: "n1:10.0.0.1;n2:10.0.0.2". A port after an address ("n1:10.0.0.1:7901", "n1:[fd00::1]:7901") is used in place of sync_port.`,
  }),
  migration_network_suffix: parameter({
    kind: hostNamePart,
    fallback: '',
    short: 'What makes a host name on the sync network of the name of a node',
    long: `Without sync_address: the address of each node of the cluster on the sync network is that of the host name which is made by
putting this after the node's name, or before its first period. -sync: n1-sync, or n1-sync.example.org. A start looks all of them up.`,
  }),
  sync_port: parameter({
    kind: whole(1, 65_535),
    fallback: '7900',
    short: 'TCP port of the sync network',
    long: 'TCP port on which the nodes take checkpoints of this VM. Each VM of a node needs one of its own.',
  }),
  transport: parameter({
    kind: oneOf('tls', 'plain'),
    fallback: 'tls',
    short: 'How checkpoints travel',
    long: `tls: TLS 1.3 between hosts that have the same key. plain: as they are, for a network that nobody else can reach; whoever
reaches it can read and change the guest.`,
  }),
  key: parameter({
    kind: path('/etc/kemari/sync.key'),
    fallback: '/etc/kemari/sync.key',
    short: 'Key of the sync network',
    long: 'Path of the key that kemari keygen has made, the same on every node and of root alone.',
  }),
  sync_mode: parameter({
    kind: oneOf('adaptive', 'event', 'interval'),
    fallback: 'adaptive',
    reloadable: true,
    short: 'When a checkpoint is made',
    long: `event: each output of the guest asks for a checkpoint, at once. adaptive: the same, but outputs that are about to follow
are waited for. interval: the clock asks.`,
  }),
  commit: parameter({
    kind: oneOf('pipelined', 'sync'),
    fallback: 'pipelined',
    reloadable: true,
    short: 'What the guest does until a checkpoint is acknowledged',
    long: `pipelined: the guest runs on as soon as it is captured, and its outputs wait. sync: it stands still until the other node
has acknowledged the checkpoint; without a link to it (frozen), until it does so again, which can take a whole new copy, or the guest may go on alone.`,
  }),
  latency_budget: parameter({
    kind: time(MS, 0, S),
    fallback: '5ms',
    reloadable: true,
    short: 'Longest wait of an output for others',
    long: 'Longest time for which the mode adaptive makes an output wait for others.',
  }),
  interval: parameter({
    kind: time(MS, MS, 10 * S),
    fallback: '20ms',
    reloadable: true,
    short: 'Time between checkpoints in the mode interval',
    long: 'Time between two checkpoints in the mode interval.',
  }),
  paused_max: parameter({
    kind: whole(10, 100),
    fallback: '75',
    reloadable: true,
    short: 'Largest share of time for checkpoints (percent)',
    long: `Largest share of the guest's time that checkpoints may take, in percent; beyond it they come later, but never later than
epoch_age and epoch_mib allow. 100: no bound.`,
  }),
  compression: parameter({
    kind: oneOf('auto', 'off', 'lz4', 'zstd'),
    fallback: 'auto',
    reloadable: true,
    short: 'Compression of checkpoints',
    long: `off, lz4, zstd: what travels is packed by that, if it gets shorter. auto: by what is measured to be fastest over this
network.`,
  }),
  epoch_age: parameter({
    kind: time(MS, 5 * MS, 10 * S),
    fallback: '100ms',
    short: 'Longest time between checkpoints',
    long: `A checkpoint is made at least this often, whatever the mode. While the last one is on its way the guest stands still at
this bound.`,
  }),
  epoch_mib: parameter({
    kind: whole(1, 1024),
    fallback: '16',
    short: 'Most that the guest writes between checkpoints (MiB)',
    long: `A checkpoint is made when the guest has written this much since the last one, in MiB. Without the other node it may write
sixteen times as much and stands still then.`,
  }),
  hold_mib: parameter({
    kind: whole(1, 256),
    fallback: '4',
    short: 'Most outputs that wait (MiB)',
    long: `Outputs that may wait for their checkpoint, in MiB; at half of it the guest is paused until they are acknowledged. None is
dropped.`,
  }),
  ack_timeout: parameter({
    kind: time(MS, 100 * MS, 60 * S),
    fallback: '3s',
    short: 'When the other node counts as lost',
    long: 'The other node counts as lost when it has not acknowledged a checkpoint for this long.',
  }),
  freeze_timeout: parameter({
    kind: time(MS, 0, 86_400 * S),
    fallback: '60s',
    reloadable: true,
    short: 'When a frozen guest is paused',
    long: `A guest whose outputs have waited for this long because the other node, or the word that it is outdated, does not come
(frozen) stands still until they may go. It runs on by itself then. 0: never.`,
  }),
  time_catch_up: parameter({
    kind: time(MS, 0, 86_400 * S),
    fallback: '15s',
    short: "By how much the guest's clocks are set forward",
    long: `By how much the clocks of a guest that stood still are set forward at once, at most; 0: they stand still with it. Linux
without KVM takes 20 s for a lockup.`,
  }),
  wake_latency: parameter({
    kind: time(1, 0, 2000 * S),
    fallback: '0',
    short: 'How long processors may take to wake up',
    long: `How long the processors of both nodes may take to wake up while more than a hundred checkpoints a second are made. 0 keeps
them from sleeping, which halves what a checkpoint adds to an answer and costs power; 2000s leaves them alone.`,
  }),
  tracker: parameter({
    kind: oneOf('auto', 'pagemap-scan', 'compare'),
    fallback: 'auto',
    short: 'How written pages are found',
    long: `pagemap-scan: the kernel is asked (Linux 6.7 or later). compare: all RAM is compared with its last copy, with any kernel;
that takes as much memory again, and about 0.1 s for each GiB in each checkpoint. auto: compare only if it must be.`,
  }),
  allow_unfenced: parameter({
    kind: flag,
    fallback: 'false',
    short: 'Run in a cluster without fencing',
    long: `true: a VM is started although fencing is turned off in the cluster. A host that only seems dead may then run the guest a
second time: for tests, never for what matters.`,
  }),
  allow_qemu_commandline: parameter({
    kind: flag,
    fallback: 'false',
    short: "Take arguments for QEMU from the VM's description",
    long: `true: the arguments that qemu:commandline of the description has are given to QEMU, on every node. Only those are taken
that leave the guest's RAM, state and outputs where they are held: -device of some kinds, -fw_cfg, -smbios, -rtc and few others. kemari
check-config --allow-qemu-commandline FILE names what of it is refused. false: all of it is.`,
  }),
  monitor_scripts: parameter({
    kind: paths('/etc/kemari/vm1-web /etc/kemari/vm1-db', 16),
    fallback: '',
    reloadable: true,
    short: 'Scripts that say whether the guest is well',
    long: `Absolute paths of programs, with spaces between, that a monitor with OCF_CHECK_LEVEL=20 runs where the guest runs, one after
the other, within its time-out. One that fails says that the guest is sick: it is ended on both nodes and booted anew. A promote that
boots it is done when all of them succeed.`,
  }),
  autoset_utilization_cpu: parameter({
    kind: flag,
    fallback: 'true',
    reloadable: true,
    short: 'Tell the cluster how many vCPUs the VM has',
    long: `true: start sets the resource's utilization attribute cpu to the number of vCPUs, for clusters that place resources by
utilization. Both instances count: a replica takes its host's processors when it is promoted.`,
  }),
  autoset_utilization_hv_memory: parameter({
    kind: flag,
    fallback: 'true',
    reloadable: true,
    short: 'Tell the cluster how much RAM the VM has',
    long: "true: start sets the resource's utilization attribute hv_memory to the VM's RAM in MiB, which both instances take.",
  }),
  force_stop: parameter({
    kind: flag,
    fallback: 'false',
    reloadable: true,
    short: 'End the guest without asking it',
    long: `false: a stop asks the guest to power itself off (ACPI), and ends it like a power cut only when the operation's time-out
comes near. true: like a power cut, at once.`,
  }),
  shutdown_mode: parameter({
    kind: oneOfKnown(
      ['acpi'],
      ['agent', 'initctl', 'signal', 'paravirt'],
      'which Kemari has no way into the guest for: write acpi, or force_stop=true for a guest that does not listen to it',
    ),
    fallback: 'acpi',
    reloadable: true,
    short: 'How a guest is asked to power itself off',
    long: 'acpi: by the power button. The other modes of virsh shutdown need a program in the guest that Kemari does not talk to.',
  }),
  log_level: parameter({
    kind: oneOf(...logLevels),
    fallback: 'info',
    reloadable: true,
    short: 'Log level',
    long: `What goes to /var/log/kemari: ${logLevels.join(', ')}.`,
  }),
} as const;

export type ParameterName = keyof typeof parameters;
export type ParameterValues = {
  readonly [Name in ParameterName]: (typeof parameters)[Name] extends Parameter<infer T> ? T : never;
};

/** Every parameter with its name, in the order in which people read them. */
export const parameterList: readonly (readonly [ParameterName, Parameter])[] = Object.entries(parameters) as [
  ParameterName,
  Parameter,
][];

/** @throws AgentError bad-parameter: wrong on every node. */
export function readParameters(env: Environment): ParameterValues {
  return Object.fromEntries(
    parameterList.map(([name, one]) => [name, valueOf(name, one, env[`OCF_RESKEY_${name}`] ?? '')]),
  ) as unknown as ParameterValues;
}

function valueOf(name: string, { kind, fallback, short }: Parameter, given: string): unknown {
  const text = given === '' ? fallback : given;
  if (text === undefined) {
    throw new AgentError(
      'bad-parameter',
      `parameter ${name} is missing: set it to the ${short} (pcs resource update RESOURCE ${name}=...)`,
    );
  }
  const parsed = kind.parse(text);
  if ('complaint' in parsed) throw new AgentError('bad-parameter', `parameter ${name} ${parsed.complaint}`);
  return parsed.value;
}
