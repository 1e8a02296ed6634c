import * as v from 'valibot';
import { logLevels } from '../common/log-level.js';
import { tuning } from '../common/tuning.js';

/**
 * The control protocol, version 1, as the engine speaks it; golden samples in test/contract/control are read by both
 * languages. Unknown fields of an answer are let through: a newer engine of the same version may add some.
 */
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const someQuantiles = v.object({ p50: count, p99: count, max: count });
const quantiles = v.nullable(someQuantiles);
const roles = ['primary', 'secondary'] as const;
const states = [
  'empty',
  'receiving',
  'in-sync',
  'handed-over',
  'parked',
  'solo',
  'syncing',
  'protected',
  'frozen',
  'ended',
] as const;

export type EngineRole = (typeof roles)[number];
export type EngineState = (typeof states)[number];

const tuningChange = v.partial(tuning);
export type TuningChange = v.InferOutput<typeof tuningChange>;

export const engineStatus = v.object({
  engine_id: v.string(),
  engine_version: v.string(),
  resource: v.string(),
  role: v.picklist(roles),
  state: v.picklist(states),
  guest: v.string(),
  paused_for: v.nullable(v.string()),
  generation: count,
  epoch: count,
  peer: v.object({ connected: v.boolean(), node: v.nullable(v.string()), engine_id: v.nullable(v.string()) }),
  transport: v.picklist(['tls', 'plain']),
  accel: v.string(),
  accel_reason: v.nullable(v.string()),
  tracker: v.string(),
  tracker_reason: v.nullable(v.string()),
  encoding: v.nullable(v.string()),
  tuning,
  qemu_pid: v.nullable(count),
  sync_progress: v.nullable(
    v.object({
      percent: count,
      round: count,
      bytes: count,
      bytes_per_second: count,
      remaining_bytes: count,
      remaining_seconds: v.nullable(count),
      brake_percent: count,
    }),
  ),
  held_packets: count,
  held_bytes: count,
  released_packets: count,
  checkpoints: count,
  checkpoint_pages: count,
  checkpoint_bytes: count,
  pause_us: quantiles,
  pause_parts_us: v.nullable(
    v.object({
      stop: someQuantiles,
      save: someQuantiles,
      drain: someQuantiles,
      scan: someQuantiles,
      copy: someQuantiles,
      cont: someQuantiles,
    }),
  ),
  paused_percent: v.nullable(count),
  guest_lag_ms: v.nullable(count),
  epoch_us: quantiles,
  dirty_pages: quantiles,
  transaction_bytes: quantiles,
  promotion_us: v.nullable(v.object({ load: count, total: count })),
  data_thread_idle_ms: count,
  last_error: v.nullable(v.string()),
});
export type EngineStatus = v.InferOutput<typeof engineStatus>;

/** Nobody acknowledges what the guest does, and so it stands still: after `freeze_timeout`, or because `commit` is sync. */
export function standsFrozen({ state, paused_for }: Pick<EngineStatus, 'state' | 'paused_for'>): boolean {
  return state === 'frozen' && (paused_for === 'freeze' || paused_for === 'ack');
}

export const statusReply = v.object({ status: engineStatus });
export const promoteReply = v.object({ promoted: v.picklist(['cold', 'hot']) });
export const demoteReply = v.object({ demoted: v.picklist(['handed-over', 'parked', 'discarded']) });
export const configureReply = v.object({ configured: tuning });
export const emptyReply = v.object({});
export type DemoteOutcome = v.InferOutput<typeof demoteReply>['demoted'];

/** The engine checks these before it touches anything: the guest and the replica are as they were. */
export const nothingChangedCodes = [
  'bad-request',
  'wrong-role',
  'replica-incomplete',
  'peer-is-primary',
  'stale-generation',
  'peer-not-outdated',
] as const;
export const engineErrorCodes = [...nothingChangedCodes, 'timeout', 'guest-broken', 'engine-failed'] as const;
export type EngineErrorCode = (typeof engineErrorCodes)[number];

const envelope = { v: v.literal(1), id: count };
/** The envelope alone: what `ok` holds is checked against the schema of the command that was sent. */
export const replyEnvelope = v.union([
  v.object({ ...envelope, ok: v.unknown() }),
  v.object({ ...envelope, error: v.object({ code: v.string(), message: v.string() }) }),
]);

export const engineEvent = v.variant('event', [
  v.object({
    v: v.literal(1),
    event: v.literal('state'),
    role: v.picklist(roles),
    state: v.picklist(states),
    generation: count,
    epoch: count,
  }),
  v.object({ v: v.literal(1), event: v.literal('peer-outdated'), generation: count }),
  v.object({ v: v.literal(1), event: v.literal('guest-ended'), generation: count }),
  v.object({ v: v.literal(1), event: v.literal('fatal'), message: v.string() }),
]);
export type EngineEvent = v.InferOutput<typeof engineEvent>;

const command = <Name extends string>(name: Name) => ({ ...envelope, command: v.literal(name) });
const generation = v.pipe(v.number(), v.integer(), v.minValue(1));
export const engineRequest = v.variant('command', [
  v.strictObject(command('status')),
  v.strictObject(command('subscribe')),
  v.strictObject({ ...command('promote'), mode: v.picklist(['cold', 'hot']), generation }),
  v.strictObject({ ...command('demote'), timeout_ms: count }),
  v.strictObject({ ...command('enter-solo'), generation }),
  v.strictObject(command('restart-statistics')),
  v.strictObject({ ...command('configure'), tuning: tuningChange }),
  v.strictObject({ ...command('log-level'), level: v.picklist(logLevels) }),
  v.strictObject(command('press-power-button')),
  v.strictObject(command('end-guest')),
  v.strictObject(command('check-guest')),
  v.strictObject(command('stop')),
]);
type Bare<Request> = Request extends unknown ? Omit<Request, 'v' | 'id'> : never;
/** A request without its envelope. */
export type EngineCommand = Bare<v.InferOutput<typeof engineRequest>>;
