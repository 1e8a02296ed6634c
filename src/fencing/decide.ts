import { type Claim } from '../pacemaker/claim.js';
import type { ClusterView } from '../pacemaker/cluster-view.js';
import { limits } from '../common/limits.js';
import type { Evidence, EngineEvidence } from './evidence.js';
import { whyGone, whyNotPromoted } from './proof.js';
import { sameWord, type Word } from './words.js';

/** Why a guest may go on without its replica (I2). */
export type SoloProof = 'farewell' | 'said' | 'fenced' | 'stopped' | 'confirmed';

/**
 * The next step. Each is one thing that is done or written; after it everything is looked at again, so a step that fails, or
 * a crash after it, leaves a state from which the same function goes on.
 */
export type Decision =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'wait'; readonly reason: string }
  | { readonly kind: 'place-claim'; readonly claim: Claim; readonly target: string }
  | { readonly kind: 'replace-claim'; readonly stale: Claim; readonly claim: Claim; readonly target: string }
  | {
      readonly kind: 'take-over-claim';
      readonly stale: Claim;
      readonly claim: Claim;
      readonly target: string;
    }
  | { readonly kind: 'remove-claim'; readonly claim: Claim }
  | { readonly kind: 'ask-peer'; readonly ask: Word }
  | { readonly kind: 'withdraw-ask' }
  | { readonly kind: 'say-outdated'; readonly word: Word }
  | { readonly kind: 'enter-solo'; readonly generation: number; readonly proof: SoloProof }
  | { readonly kind: 'give-up'; readonly reason: string };

const NOTHING: Decision = { kind: 'nothing' };

const wait = (reason: string): Decision => ({ kind: 'wait', reason });

/**
 * What this node does about the guest and the other node. Pure.
 *
 *   primary, frozen:    place-claim ─► ask-peer ─► (said | fenced | stopped) ─► enter-solo
 *                            └── a later claim of another node: give-up
 *   primary, protected: withdraw-ask, remove-claim
 *   secondary:          asked: say-outdated │ the primary fenced after its claim, before it asked: take-over-claim
 */
export function decide(evidence: Evidence): Decision {
  const { engine } = evidence;
  if (engine?.role !== 'primary') return decideSecondary(evidence, engine);
  switch (engine.state) {
    case 'frozen':
      return decideFrozen(evidence, engine);
    case 'protected':
      return decideProtected(evidence, engine);
    default:
      return evidence.asks.has(evidence.me) ? { kind: 'withdraw-ask' } : NOTHING;
  }
}

function decideFrozen(evidence: Evidence, engine: EngineEvidence): Decision {
  const { me, cluster, disk } = evidence;
  if (engine.connected) return NOTHING;
  const isLeft = evidence.farewell === engine.generation;
  if (engine.linkless_ms < limits.reconnect_grace_ms && !isLeft)
    return wait('the link may come back at once');
  if (!evidence.quorate) return wait(`${me} has no quorum: the other partition may go on`);
  if (cluster?.dc === undefined)
    return wait('the cluster does not answer: no DC, or a CIB that cannot be read');
  if (!cluster.quorate) return wait('the partition of the DC has no quorum');
  if (!cluster.fencing && !evidence.allow_unfenced) return wait('fencing is turned off in this cluster');
  const { claim, target } = cluster;
  if (claim === null) return wait('the CIB has a claim that cannot be read: look at its constraints');
  if (claim && claim.owner !== me && claim.generation > engine.generation) {
    return {
      kind: 'give-up',
      reason: `${claim.owner} goes on with the guest in generation ${claim.generation}, ours is ${engine.generation}`,
    };
  }
  // What was used up by a try that came to nothing is not given out again.
  const generation = Math.max(engine.generation, disk.generation) + 1;
  const wanted: Claim = { owner: me, generation, engine_id: engine.engine_id };
  const isOurs =
    claim !== undefined && isOwn(claim, evidence, engine) && claim.generation > engine.generation;
  if (!isOurs) {
    if (target === undefined) return wait('the resource is not in the CIB');
    return claim
      ? { kind: 'replace-claim', stale: claim, claim: wanted, target }
      : { kind: 'place-claim', claim: wanted, target };
  }
  const ask: Word = { through: engine.generation, engine_id: engine.engine_id };
  const proof = proofOf(evidence, cluster, ask);
  if (proof) {
    if (!disk.writable) return wait('state.json cannot be written');
    return { kind: 'enter-solo', generation, proof };
  }
  if (!sameWord(evidence.asks.get(me), ask)) return { kind: 'ask-peer', ask };
  return wait(
    `${holders(evidence).join(' and ')} has neither said that its replica is outdated nor is proven to be down`,
  );
}

function isOwn(claim: Claim, { me }: Evidence, { engine_id }: EngineEvidence): boolean {
  return claim.owner === me && claim.engine_id === engine_id;
}

/** Who may have the replica: of whom nothing is known, everybody. */
function holders({ holder, peers }: Evidence): readonly string[] {
  return holder === undefined ? peers : [holder];
}

/** Proof about every node that may have a replica of what runs here; of several the weakest is named. */
function proofOf(evidence: Evidence, cluster: ClusterView, ask: Word): SoloProof | undefined {
  const { words, allow_unfenced, confirmed, engine, farewell } = evidence;
  // It comes from the very engine that had the replica.
  if (farewell === engine?.generation) return 'farewell';
  const proofs = holders(evidence).map((node): SoloProof | undefined => {
    if (sameWord(words.get(node), ask)) return 'said';
    const gone = whyGone(cluster, node, allow_unfenced);
    if (gone) return gone;
    return confirmed !== undefined && confirmed === engine?.generation ? 'confirmed' : undefined;
  });
  const weakest = (['confirmed', 'stopped', 'fenced', 'said'] as const).find((one) => proofs.includes(one));
  return proofs.includes(undefined) ? undefined : weakest;
}

function decideProtected(evidence: Evidence, engine: EngineEvidence): Decision {
  const { me, cluster, asks, quorate } = evidence;
  if (asks.has(me)) return { kind: 'withdraw-ask' };
  const claim = cluster?.claim;
  if (!claim || !quorate) return NOTHING;
  // The replica is of this generation: nothing older is anywhere, and nobody needs to be barred any more.
  const isDone = claim.generation <= engine.generation || isOwn(claim, evidence, engine);
  return isDone ? { kind: 'remove-claim', claim } : NOTHING;
}

function decideSecondary(evidence: Evidence, engine: EngineEvidence | undefined): Decision {
  const { asks, words, me, peers, disk } = evidence;
  const ask = peers.map((peer) => asks.get(peer)).find((one) => one !== undefined);
  const isHealthy = engine?.connected === true && isComplete(engine);
  if (ask && !isHealthy && !sameWord(words.get(me), ask)) {
    if (!disk.writable) return wait('state.json cannot be written, so nothing can be said to the other node');
    return { kind: 'say-outdated', word: ask };
  }
  return (engine && decideTakeOver(evidence, engine)) ?? NOTHING;
}

function isComplete({ state }: EngineEvidence): boolean {
  return state === 'in-sync' || state === 'handed-over';
}

/**
 * Its owner has claimed the next generation, and was fenced before it had asked anybody: it has released nothing under it. We
 * were there all the time, and would have had to be asked.
 */
function decideTakeOver(evidence: Evidence, engine: EngineEvidence): Decision | undefined {
  const { me, cluster, quorate, disk } = evidence;
  const claim = cluster?.claim;
  if (!claim || claim.owner === me || !quorate || !cluster.quorate || cluster.target === undefined)
    return undefined;
  if (!mayTakeOver(evidence, cluster, engine, claim)) return undefined;
  const generation = Math.max(engine.generation, disk.generation) + 1;
  return {
    kind: 'take-over-claim',
    stale: claim,
    claim: { owner: me, generation, engine_id: engine.engine_id },
    target: cluster.target,
  };
}

function mayTakeOver(
  { disk, allow_unfenced }: Evidence,
  cluster: ClusterView,
  engine: EngineEvidence,
  claim: Claim,
): boolean {
  return (
    isComplete(engine) &&
    !engine.connected &&
    engine.generation > disk.outdated_through &&
    claim.generation === engine.generation + 1 &&
    whyGone(cluster, claim.owner, allow_unfenced) === 'fenced'
  );
}

export type Promotion =
  | {
      readonly kind: 'allow';
      readonly generation: number;
      readonly claim: Claim;
      readonly stale: Claim | undefined;
      readonly target: string;
    }
  /** Something that passes is in the way: a promote that fails makes Pacemaker stop what may be the last live copy. */
  | { readonly kind: 'retry'; readonly reason: string }
  | { readonly kind: 'refuse'; readonly reason: string };

/** Whether a complete replica may be promoted (I3), or the sentence that says why not. Pure. */
export function decideHotPromotion(evidence: Evidence, resource: string): Promotion {
  const { me, engine, disk, cluster } = evidence;
  const refuse = (reason: string): Promotion => ({ kind: 'refuse', reason });
  const retry = (reason: string): Promotion => ({ kind: 'retry', reason });
  if (!engine || !isComplete(engine)) return refuse(`${me} has no complete replica of ${resource}`);
  if (engine.generation <= disk.outdated_through) {
    return refuse(
      `the replica of ${resource} on ${me} is outdated since generation ${disk.outdated_through}: the other node went on without it`,
    );
  }
  if (!evidence.quorate) return retry(`${me} has no quorum`);
  if (cluster?.dc === undefined || cluster.target === undefined)
    return retry(`the cluster does not say where ${resource} runs: no DC, or a CIB that cannot be read`);
  if (!cluster.fencing && !evidence.allow_unfenced) {
    return refuse(
      `fencing is turned off in this cluster: nothing proves that the guest of ${resource} does not run elsewhere`,
    );
  }
  const { claim } = cluster;
  if (claim === null)
    return refuse(`the claim on ${resource} in the CIB cannot be read: look at its constraints`);
  const isForeign = claim !== undefined && claim.owner !== me;
  if (isForeign && claim.generation > engine.generation && !mayTakeOver(evidence, cluster, engine, claim)) {
    return refuse(
      `${claim.owner} has claimed generation ${claim.generation} of ${resource}, the replica on ${me} is of generation ${engine.generation}: start ${claim.owner}`,
    );
  }
  const owner = disk.owner === me || disk.owner === null ? undefined : disk.owner;
  const running = (owner === undefined ? evidence.peers : [owner]).find(
    (peer) => whyNotPromoted(cluster, peer, evidence.allow_unfenced) === undefined,
  );
  if (running !== undefined) {
    return retry(
      `${running} is not proven to be down: the guest of ${resource} may still run there (not fenced, not demoted)`,
    );
  }
  const generation = Math.max(engine.generation, disk.generation) + 1;
  return {
    kind: 'allow',
    generation,
    claim: { owner: me, generation, engine_id: engine.engine_id },
    stale: claim,
    target: cluster.target,
  };
}

/** Whether a claim in the CIB speaks against a boot from the disk of this node: its owner has gone on from something newer. Pure. */
export function coldStartBar(
  { me, disk, cluster }: Pick<Evidence, 'me' | 'disk' | 'cluster'>,
  resource: string,
): string | undefined {
  const claim = cluster?.claim;
  if (!claim || claim.owner === me || claim.generation <= disk.generation) return undefined;
  return `${claim.owner} has claimed generation ${claim.generation} of ${resource}, the disk of ${me} knows of ${disk.generation}: start ${claim.owner}`;
}
