import type { EngineState } from '../engine/messages.js';

/** What of the cluster has to be looked at. Each look costs three or four processes: nothing is asked without need. */
export type Watch = 'nothing' | 'asks' | 'everything';

export interface WatchEvidence {
  /** undefined: it is dead. */
  readonly engine: { readonly state: EngineState; readonly connected: boolean } | undefined;
  /** A claim may be there that nobody needs any more. */
  readonly untidy: boolean;
}

/** Pure. A pair that is protected looks at nothing; whoever may be asked, or may have to take over, looks. */
export function decideWatch({ engine, untidy }: WatchEvidence): Watch {
  switch (engine?.state) {
    // Its supervisor still has to answer for it.
    case undefined:
    case 'empty':
    case 'receiving':
      return 'asks';
    case 'in-sync':
    case 'handed-over':
      return engine.connected ? 'nothing' : 'everything';
    case 'frozen':
      return engine.connected ? 'nothing' : 'everything';
    case 'protected':
      return untidy ? 'everything' : 'nothing';
    case 'solo':
    case 'syncing':
    case 'parked':
    case 'ended':
      return 'nothing';
  }
}
