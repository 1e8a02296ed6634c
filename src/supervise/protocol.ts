import * as v from 'valibot';
import { limits } from '../common/limits.js';
import { logLevels } from '../common/log-level.js';
import { tuning } from '../common/tuning.js';

/** supervisor.sock, version 1: what the actions of the same installation ask. */
const timeout = v.pipe(v.number(), v.integer(), v.minValue(1));
const envelope = { v: v.literal(1), id: v.pipe(v.number(), v.integer()) };

export const supervisorRequest = v.variant('command', [
  /** Answered without a look at the engine: tells a supervisor that hangs from an engine that does. */
  v.strictObject({ ...envelope, command: v.literal('ping') }),
  v.strictObject({ ...envelope, command: v.literal('status') }),
  v.strictObject({ ...envelope, command: v.literal('promote'), timeout_ms: timeout }),
  /** shutdown_ms: how long a sick guest, which is not handed over, has to power itself off. */
  v.strictObject({
    ...envelope,
    command: v.literal('demote'),
    timeout_ms: timeout,
    shutdown_ms: v.pipe(v.number(), v.integer(), v.minValue(0)),
  }),
  /** Has QEMU say how the guest is. */
  v.strictObject({ ...envelope, command: v.literal('check'), timeout_ms: timeout }),
  /** Why the guest is sick, or null: it is not. The next demote ends a sick one, wherever it has a copy. */
  v.strictObject({
    ...envelope,
    command: v.literal('health'),
    sick: v.nullable(v.pipe(v.string(), v.maxLength(limits.sickness_characters))),
  }),
  /** What a running VM takes as it is. */
  v.strictObject({
    ...envelope,
    command: v.literal('reload'),
    tuning,
    log_level: v.picklist(logLevels),
  }),
  /** shutdown_ms: how long a guest that runs, or could, has to power itself off before it is ended. */
  v.strictObject({
    ...envelope,
    command: v.literal('stop'),
    shutdown_ms: v.pipe(v.number(), v.integer(), v.minValue(0)),
  }),
]);
export type SupervisorRequest = v.InferOutput<typeof supervisorRequest>;
