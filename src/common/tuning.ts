import * as v from 'valibot';
import { integer } from './integer.js';

/** How a running guest is kept in step; `native/src/checkpoint/tuning.rs` says what each setting means. */
export const tuning = v.strictObject({
  sync_mode: v.picklist(['event', 'interval', 'adaptive'], 'must be event, interval or adaptive'),
  commit: v.picklist(['pipelined', 'sync'], 'must be pipelined or sync'),
  interval_ms: integer(1, 10_000),
  latency_budget_ms: integer(0, 1000),
  paused_max_percent: integer(10, 100),
  compression: v.picklist(['off', 'lz4', 'zstd', 'auto'], 'must be off, lz4, zstd or auto'),
  freeze_timeout_ms: integer(0, 86_400_000),
});

export type Tuning = v.InferOutput<typeof tuning>;

/** What bounds an epoch and what waits for it; `native/src/spec.rs` says what each bound means. */
export const epochLimits = v.strictObject({
  max_epoch_age_ms: integer(5, 10_000),
  max_epoch_bytes: integer(1 << 20, 1 << 30),
  hold_bytes: integer(65_536, 256 << 20),
  ack_timeout_ms: integer(100, 60_000),
  time_catch_up_max_ms: integer(0, 86_400_000),
  wake_latency_us: integer(0, 2_000_000_000),
});
