import type { EngineView } from './durable-transition.js';

export interface SoloEvidence {
  readonly engine: EngineView;
  /** The generation for which the secondary has said, durably, that its replica is outdated. */
  readonly peer_outdated_generation: number | undefined;
  readonly quorate: boolean;
}

/** May a frozen primary go on without its replica (I2)? Pure: quorum, and the other's word for this very generation. */
export function maySolo({ engine, peer_outdated_generation, quorate }: SoloEvidence): boolean {
  return engine.state === 'frozen' && peer_outdated_generation === engine.generation && quorate;
}
