import type { EngineRole, EngineState } from '../engine/messages.js';
import type { DurableState } from './durable-state.js';

export interface EngineView {
  readonly role: EngineRole;
  readonly state: EngineState;
  readonly generation: number;
}

/**
 * What the disk must say once the engine is in this state. Pure.
 * An engine of an older generation than the disk changes nothing: the step to the newer one is under way.
 */
export function durableAfter(
  durable: DurableState,
  engine: EngineView,
  me: string,
  peer: string,
): DurableState {
  const mine = { ...durable, generation: engine.generation, owner: me };
  switch (engine.state) {
    case 'solo':
    case 'syncing':
      return engine.generation < durable.generation ? durable : { ...mine, role: 'primary', sync: 'solo' };
    case 'protected':
      return engine.generation < durable.generation
        ? durable
        : { ...mine, role: 'primary', sync: 'protected' };
    case 'frozen':
      return durable;
    case 'ended':
      return { ...durable, role: 'secondary', sync: 'clean' };
    case 'parked':
      return { ...durable, role: 'secondary', sync: 'solo' };
    case 'in-sync':
    case 'handed-over':
      if (engine.generation < durable.generation) return durable;
      return { ...durable, generation: engine.generation, owner: peer, role: 'secondary', sync: 'protected' };
    case 'receiving':
      // The other node's guest runs on; a boot from here alone would be a boot of an old one.
      return { ...durable, role: 'secondary', sync: durable.sync === 'none' ? 'none' : 'outdated' };
    case 'empty':
      return { ...durable, role: 'secondary' };
  }
}

/**
 * What the disk must say before the engine is told to stop. Pure. The engine's farewell tells the primary that this
 * replica is outdated, so that it may go solo: the disk has to hold that word first (I2).
 * @param engine undefined when it does not answer
 */
export function durableAtStop(durable: DurableState, engine: EngineView | undefined): DurableState {
  const outdated: DurableState = { ...durable, role: 'secondary', sync: 'outdated' };
  const clean: DurableState = { ...durable, role: 'secondary', sync: 'clean' };
  switch (engine?.state) {
    case 'in-sync':
    case 'handed-over':
      return outdated;
    case 'receiving':
      return durable.sync === 'none' ? durable : outdated;
    case 'solo':
    case 'syncing':
    case 'parked':
    case 'ended':
      return clean;
    case 'protected':
    case 'frozen':
      // Stopped without a demote: the other node's replica may be promoted.
      return durable;
    case 'empty':
      return durable;
    case undefined:
      return durable.role === 'secondary' && durable.sync === 'protected' ? outdated : durable;
  }
}
