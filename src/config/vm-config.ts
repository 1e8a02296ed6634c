import * as v from 'valibot';
import { integer } from '../common/integer.js';
import { epochLimits, tuning } from '../common/tuning.js';
import { syncKeyPath } from './sync-key.js';

/** The description of a VM and its two hosts. Strict: a key that is misspelt must not be ignored in silence. */
const text = (name: string) => v.string(`must be text (${name})`);
const absolutePath = v.pipe(
  text('an absolute path'),
  v.maxLength(1024, 'must have at most 1024 characters'),
  v.regex(/^\//, 'must be an absolute path'),
);
/** What ends up on QEMU's command line between commas. */
const qemuWord = (example: string) =>
  v.pipe(
    text(`such as ${example}`),
    v.regex(/^[A-Za-z0-9][A-Za-z0-9_.+=,-]{0,255}$/, `must be a QEMU name such as ${example}`),
  );
/** IFNAMSIZ is 16 with its terminator. */
const interfaceName = v.pipe(
  text('the name of a network interface'),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/,
    'must be the name of a network interface of at most 15 characters',
  ),
);

const networkInterface = v.strictObject({
  mac: v.pipe(
    text('a MAC address'),
    v.regex(
      /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i,
      'must be a unicast MAC address such as 52:54:00:6b:00:01, the same on both nodes',
    ),
  ),
  bridge: interfaceName,
  tap: v.optional(interfaceName),
});

const syncAddress = v.strictObject({
  address: v.pipe(text('an IP address'), v.ip('must be an IPv4 or IPv6 address of the sync network')),
  port: integer(1, 65535),
});

/** Sections in which everything may be left out. */
const { sync_mode, commit, interval_ms, latency_budget_ms, paused_max_percent, compression } = tuning.entries;
const tuningSection = v.strictObject({
  sync_mode: v.optional(sync_mode, 'adaptive'),
  commit: v.optional(commit, 'pipelined'),
  interval_ms: v.optional(interval_ms, 20),
  latency_budget_ms: v.optional(latency_budget_ms, 5),
  paused_max_percent: v.optional(paused_max_percent, 75),
  compression: v.optional(compression, 'auto'),
});
const { max_epoch_age_ms, max_epoch_bytes, hold_bytes, ack_timeout_ms } = epochLimits.entries;
const { time_catch_up_max_ms, wake_latency_us } = epochLimits.entries;
const limitsSection = v.strictObject({
  max_epoch_age_ms: v.optional(max_epoch_age_ms, 100),
  max_epoch_bytes: v.optional(max_epoch_bytes, 16 << 20),
  hold_bytes: v.optional(hold_bytes, 4 << 20),
  ack_timeout_ms: v.optional(ack_timeout_ms, 3000),
  time_catch_up_max_ms: v.optional(time_catch_up_max_ms, 15_000),
  wake_latency_us: v.optional(wake_latency_us, 0),
});

export const vmConfig = v.strictObject({
  uuid: v.pipe(text('a UUID'), v.uuid('must be a UUID (uuidgen makes one), the same on both nodes')),
  memory_mib: integer(32, 1024 * 1024),
  vcpus: integer(1, 64),
  qemu: v.optional(absolutePath, '/usr/bin/qemu-system-x86_64'),
  machine: v.optional(
    v.pipe(
      qemuWord('pc-i440fx-7.2'),
      v.regex(/-\d+\.\d+$/, 'must be a versioned machine type such as pc-i440fx-7.2, the same on both nodes'),
    ),
    'pc-i440fx-7.2',
  ),
  cpu: v.optional(qemuWord('qemu64,svm=off,vmx=off'), 'qemu64,svm=off,vmx=off'),
  accel: v.optional(v.picklist(['auto', 'kvm', 'tcg'], 'must be auto, kvm or tcg'), 'auto'),
  tracker: v.optional(
    v.picklist(['auto', 'pagemap-scan', 'compare'], 'must be auto, pagemap-scan or compare'),
    'auto',
  ),
  firmware: v.optional(absolutePath, '/usr/share/seabios/bios-256k.bin'),
  kernel: absolutePath,
  initrd: absolutePath,
  cmdline: v.pipe(text('the kernel command line'), v.maxLength(2048, 'must have at most 2048 characters')),
  console_log: v.optional(absolutePath),
  interfaces: v.pipe(
    v.array(networkInterface, 'must be a list of interfaces'),
    v.length(1, 'must hold exactly one interface'),
  ),
  transport: v.optional(
    v.picklist(['tls', 'plain'], 'must be tls, or plain on a network that nobody else can reach'),
    'tls',
  ),
  key: v.optional(absolutePath, syncKeyPath),
  tuning: v.optional(tuningSection, {}),
  limits: v.optional(limitsSection, {}),
  sync: v.pipe(
    v.record(
      v.pipe(
        v.string(),
        v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/, 'must be a node name as in crm_node -n'),
      ),
      syncAddress,
      'must map the two node names to their addresses on the sync network',
    ),
    v.check(
      (nodes) => Object.keys(nodes).length === 2,
      'must name exactly two nodes: this one and the other',
    ),
  ),
});

export type VmConfig = v.InferOutput<typeof vmConfig>;
