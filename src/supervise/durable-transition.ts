import type { EngineRole, EngineState } from '../engine/messages.js';
import type { DurableState } from './durable-state.js';

export interface EngineView {
  readonly role: EngineRole;
  readonly state: EngineState;
  readonly generation: number;
}

/**
 * What the disk must say once the engine is in this state; `peer` is whom it is connected to, or was last. Pure. Two rules:
 *
 * `solo`, the right to boot alone, is written only while the engine itself is solo. From the moment a replica is being
 * made (`syncing`) the other node may hold a complete one: its ack, and with it the engine's next state, may be lost.
 * The guest then waits for the other node, and what that one really has decides.
 *
 * The generation never goes back. An engine that is behind the disk is one whose step to the newer generation has not
 * come, or never will (a supervisor died half-way, a promote failed): its replica counts all the same.
 */
export function durableAfter(
  durable: DurableState,
  engine: EngineView,
  me: string,
  peer: string | null,
): DurableState {
  const generation = Math.max(durable.generation, engine.generation);
  switch (engine.state) {
    case 'solo':
      if (engine.generation < durable.generation) return durable;
      return { ...durable, generation, owner: me, role: 'primary', sync: 'solo' };
    case 'syncing':
    case 'protected':
    case 'frozen':
      return { ...durable, generation, owner: me, role: 'primary', sync: 'protected' };
    case 'ended':
      return { ...durable, role: 'secondary', sync: 'clean' };
    case 'parked':
      return { ...durable, role: 'secondary', sync: 'solo' };
    case 'in-sync':
    case 'handed-over':
      return { ...durable, generation, owner: peer, role: 'secondary', sync: 'protected' };
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
    case 'parked':
    case 'ended':
      return clean;
    case 'syncing':
    case 'protected':
    case 'frozen':
      // Stopped without a demote: the other node's replica may be promoted.
      return { ...durable, sync: 'protected' };
    case 'empty':
      return durable;
    case undefined:
      return durable.role === 'secondary' && durable.sync === 'protected' ? outdated : durable;
  }
}
