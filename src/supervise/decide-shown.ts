import { standsFrozen, type EngineState, type EngineStatus } from '../engine/messages.js';
import type { Phase } from './decide-monitor.js';
import type { SyncWord } from './durable-state.js';

export interface ShownEvidence {
  readonly phase: Phase;
  /** undefined: it does not answer, or there is none. */
  readonly engine: Pick<EngineStatus, 'state' | 'sync_progress' | 'guest_lag_ms' | 'paused_for'> | undefined;
  readonly sync: SyncWord;
  /** Since when its outputs have waited, ms since 1970; undefined: they do not, or nobody saw them begin to. */
  readonly frozen_since?: number | undefined;
}

/** Since when outputs wait, told of every state that is seen. Of a guest that was found frozen nobody knows it. */
export class FrozenSince {
  #state: EngineState | undefined;
  #since: number | undefined;

  see(state: EngineState, now: number): void {
    if (state !== 'frozen') this.#since = undefined;
    else if (this.#state !== undefined && this.#state !== 'frozen') this.#since = now;
    this.#state = state;
  }

  get since(): number | undefined {
    return this.#since;
  }
}

/** Each change is a write of the CIB: a copy is shown in so many steps. */
const PERCENT_STEP = 10;
/** Clocks that are behind by less say nothing. */
const LAG_MIN_MS = 1000;

/** For people: a node attribute whose value `crm_mon -A` shows. */
export function shownAttribute(resource: string): string {
  return `kemari-${resource}`;
}

/** What a person sees of a node at a glance; null: nothing. Pure. */
export function decideShown({ phase, engine, sync, frozen_since }: ShownEvidence): string | null {
  if (phase === 'lost' || phase === 'failed') return 'lost';
  if (!engine) return null;
  const percent = Math.floor((engine.sync_progress?.percent ?? 0) / PERCENT_STEP) * PERCENT_STEP;
  const lag_ms = engine.guest_lag_ms ?? 0;
  const lag = lag_ms >= LAG_MIN_MS ? `, clocks ${Math.floor(lag_ms / 1000)} s behind` : '';
  switch (engine.state) {
    case 'solo':
    case 'protected':
      return `${engine.state}${lag}`;
    case 'frozen':
      // The clocks of one that is paused are behind by more each second, and nobody can do anything about that.
      return `frozen${since(frozen_since)}${standsFrozen(engine) ? ', paused' : lag}`;
    case 'syncing':
      return `syncing ${percent}%${lag}`;
    case 'receiving':
      return `receiving ${percent}%`;
    case 'in-sync':
      return 'in sync';
    case 'empty':
      return sync === 'outdated' ? 'outdated' : 'empty';
    case 'handed-over':
      return 'handed over';
    case 'parked':
      return 'parked';
    case 'ended':
      return 'powered off';
  }
}

/** The moment, as crm_mon writes its own, and not how long ago it is: that would be a write each second. */
function since(moment: number | undefined): string {
  return moment === undefined ? '' : ` since ${shownMoment(moment)}`;
}

/** `2026-01-02 03:04:05Z`; of milliseconds since 1970. */
export function shownMoment(moment: number): string {
  return new Date(moment).toISOString().replace('T', ' ').replace(/\.\d+/, '');
}
