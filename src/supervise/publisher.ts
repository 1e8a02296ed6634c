import type { EngineStatus } from '../engine/messages.js';
import { queryAttributes } from '../pacemaker/tools.js';
import { limits } from '../common/limits.js';
import type { AttributeKeeper } from './attribute-keeper.js';
import type { Phase } from './decide-monitor.js';
import { decideScore } from './decide-score.js';
import { decideShown, FrozenSince } from './decide-shown.js';
import { diskAttribute, formatDiskWord, parseDiskWord, type DiskWord, type DiskWords } from './disk-word.js';
import type { Launch } from './launch.js';
import type { Ledger } from './ledger.js';

export interface PublisherParts {
  readonly launch: Launch;
  readonly ledger: Ledger;
  readonly score: AttributeKeeper;
  readonly disk: AttributeKeeper;
  /** For people. */
  readonly shown: AttributeKeeper;
}

/** What the cluster is told of this node, and what the other nodes have told. */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #frozen = new FrozenSince();
  #peerDisks: DiskWords;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#peerDisks = new Map(parts.launch.peers.map((node) => [node, undefined]));
  }

  /** What the other nodes' disks said when they were asked last. */
  get peerDisks(): DiskWords {
    return this.#peerDisks;
  }

  /** The same for people; null: that one has said nothing. */
  get peerDisksShown(): Readonly<Record<string, DiskWord | null>> {
    return Object.fromEntries([...this.#peerDisks].map(([node, disk]) => [node, disk ?? null]));
  }

  /** Since when the guest's outputs have waited, ms since 1970; null: they do not, or nobody saw them begin to. */
  get frozenSince(): number | null {
    return this.#frozen.since ?? null;
  }

  async askPeerDisks(): Promise<void> {
    const { resource, peers } = this.#parts.launch;
    const words = await queryAttributes(diskAttribute(resource));
    this.#peerDisks = new Map(peers.map((node) => [node, parseDiskWord(words.get(node))]));
  }

  /** Score, disk and face of an engine as it was seen last. Nothing before the disk is known. */
  publish(phase: Phase, engine: EngineStatus | undefined): void {
    const { launch, ledger, score, disk, shown } = this.#parts;
    const { durable } = ledger;
    if (!durable) return;
    const alive = phase === 'running' ? engine : undefined;
    if (alive) this.#frozen.see(alive.state, Date.now());
    const wanted = decideScore({
      me: launch.node,
      engine: alive,
      durable,
      peer_disks: this.#peerDisks,
      disk_writable: ledger.writable,
    });
    score.want(wanted === null ? null : String(wanted));
    const runs = alive?.role === 'primary' && alive.state !== 'ended';
    disk.want(formatDiskWord(durable, runs ? 'primary' : 'secondary'));
    shown.want(decideShown({ phase, engine: alive, sync: durable.sync, frozen_since: this.#frozen.since }));
  }

  /** Nothing of this node is said any more: what is on its disk may still change, and is said when the stop is over. */
  withdraw(): void {
    for (const keeper of this.#withdrawn) keeper.want(null);
  }

  /** Waits until that has arrived, but not for long. */
  async withdrawn(): Promise<void> {
    await Promise.all(this.#withdrawn.map((keeper) => keeper.settle(limits.cluster_tool_ms)));
  }

  get #withdrawn(): readonly AttributeKeeper[] {
    return [this.#parts.score, this.#parts.disk, this.#parts.shown];
  }
}
