// What a lab can be asked for, and what everything else in it is derived from.

export interface LabSettings {
  /** Hosts in the cluster; named n1, n2, … */
  readonly nodes: number;
  /** Corosync's token time-out, in ms. */
  readonly token_ms: number;
  /** Corosync's consensus time-out, in ms. */
  readonly consensus_ms: number;
  /**
   * Time between the power-off and the power-on of a reboot. Longer than token + consensus: a node
   * that is back earlier hears of its own fencing, and its Pacemaker stays down.
   */
  readonly boot_delay_ms: number;
}

export interface LabOptions {
  nodes?: number;
  token_ms?: number;
  /**
   * Unless given: 150 ms for two nodes, 1.2 times the token for more. corosync.conf(5): "For two node clusters, a
   * consensus larger than the join timeout but less than token is safe"; join is 50 ms.
   */
  consensus_ms?: number;
}

/** Fills in what was not asked for. */
export function labSettings(options: LabOptions = {}): LabSettings {
  const token_ms = options.token_ms ?? 1000;
  const nodes = options.nodes ?? 2;
  const consensus_ms = options.consensus_ms ?? (nodes === 2 ? 150 : Math.round(token_ms * 1.2));
  return { nodes, token_ms, consensus_ms, boot_delay_ms: token_ms + consensus_ms + 1800 };
}

/** Names of the lab's nodes. */
export function nodeNames(settings: Pick<LabSettings, 'nodes'>): string[] {
  return Array.from({ length: settings.nodes }, (_, index) => `n${index + 1}`);
}
