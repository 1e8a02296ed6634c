import * as v from 'valibot';
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
  v.strictObject({ ...envelope, command: v.literal('demote'), timeout_ms: timeout }),
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
