import type { EngineStatus } from '../engine/messages.js';
import type { Phase } from './decide-monitor.js';
import type { SyncWord } from './durable-state.js';

export interface ShownEvidence {
  readonly phase: Phase;
  /** undefined: it does not answer, or there is none. */
  readonly engine: Pick<EngineStatus, 'state' | 'sync_progress' | 'guest_lag_ms' | 'paused_for'> | undefined;
  readonly sync: SyncWord;
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
export function decideShown({ phase, engine, sync }: ShownEvidence): string | null {
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
      return engine.paused_for === 'freeze' ? 'frozen, paused' : `frozen${lag}`;
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
