import type { EngineRole, EngineState } from '../engine/messages.js';
import type { Decision, SoloProof } from './decide.js';

/** How an attempt to go on without the other node ended: the exit codes of DRBD's fence-peer handlers. */
export const outcomeCode = {
  /** Its replica is not complete: nothing is to be fenced. */
  inconsistent: 3,
  /** It has said that it is outdated. */
  outdated: 4,
  /** Neither is there a word nor proof: outputs go on waiting. */
  unreachable: 5,
  /** It goes on with the guest: ours is ended. */
  primary: 6,
  /** Nothing of it runs: fenced, stopped, or confirmed by a person. */
  gone: 7,
} as const;

export type Outcome = keyof typeof outcomeCode;

const BY_PROOF: Readonly<Record<SoloProof, Outcome>> = {
  farewell: 'outdated',
  said: 'outdated',
  fenced: 'gone',
  stopped: 'gone',
  confirmed: 'gone',
};

/** @returns undefined: there is a next step. Pure. */
export function outcomeOf(
  decision: Decision,
  engine: { readonly role: EngineRole; readonly state: EngineState } | undefined,
): Outcome | undefined {
  switch (decision.kind) {
    case 'enter-solo':
      return BY_PROOF[decision.proof];
    case 'give-up':
      return 'primary';
    case 'wait':
      return 'unreachable';
    case 'nothing':
      return engine?.state === 'solo' || engine?.state === 'syncing' ? 'inconsistent' : 'unreachable';
    default:
      return undefined;
  }
}
