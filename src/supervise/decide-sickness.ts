import type { EngineState } from '../engine/messages.js';
import { limits } from '../common/limits.js';

/** How the guest's outputs fare at a moment. */
export interface Flow {
  /** For how long they have gone without having to wait for the other node; null: the guest does not run here, or they wait. */
  readonly flowing_ms: number | null;
  /** The guest is paused for a share of the time, so that a copy of it can be completed. */
  readonly braked: boolean;
  readonly generation: number;
}

const FLOWING: readonly EngineState[] = ['solo', 'syncing', 'protected'];

/** Since when outputs flow, told of every state that the engine is in. */
export class OutputFlow {
  #since: number | undefined;

  see(state: EngineState, now: number): void {
    this.#since = FLOWING.includes(state) ? (this.#since ?? now) : undefined;
  }

  flowingMs(now: number): number | null {
    return this.#since === undefined ? null : now - this.#since;
  }
}

/** A script that talks to the guest can only succeed while its outputs flow. Pure. */
export function canBeAsked(flow: Flow): boolean {
  return flow.flowing_ms !== null && !flow.braked;
}

/**
 * Whether a script's failure is the guest's own, and not that of a guest whose outputs had to wait meanwhile: that one is well,
 * and may be the only copy. Pure.
 */
export function isGuestsFault(before: Flow, after: Flow, tookMs: number): boolean {
  return (
    canBeAsked(before) &&
    canBeAsked(after) &&
    before.generation === after.generation &&
    (after.flowing_ms ?? 0) >= tookMs + limits.flow_settle_ms
  );
}
