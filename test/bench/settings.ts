// How long a run of the benchmark takes, and what it leaves out.

export interface Settings {
  /** Rounds that count, of each measure. */
  readonly rounds: number;
  /** Load before the measured time of each round. */
  readonly warm_up_ms: number;
  readonly measured_ms: number;
  /** Scans per round. */
  readonly scans: number;
  /** Requests of each kind per round of redis-benchmark. */
  readonly redis_requests: number;
  /** Failovers and baselines, which take seconds each. */
  readonly heavy_rounds: number;
  /** Calls of each action of the agent, per round. */
  readonly agent_calls: number;
  /** Questions that a supervisor is asked before its memory is looked at. */
  readonly agent_questions: number;
  /** For how long the supervisors are watched while nothing happens. */
  readonly agent_rest_ms: number;
}

export const FULL: Settings = {
  rounds: 7,
  warm_up_ms: 700,
  measured_ms: 3000,
  scans: 300,
  redis_requests: 20_000,
  heavy_rounds: 7,
  agent_calls: 15,
  // Of a day, with a monitor every five seconds.
  agent_questions: 17_280,
  agent_rest_ms: 60_000,
};

/** Below three minutes on two idle cores. Many short rounds: a machine that is slow for a second spoils one of them. */
export const QUICK: Settings = {
  rounds: 4,
  warm_up_ms: 200,
  measured_ms: 500,
  scans: 100,
  redis_requests: 4000,
  heavy_rounds: 3,
  agent_calls: 8,
  agent_questions: 3000,
  agent_rest_ms: 15_000,
};
