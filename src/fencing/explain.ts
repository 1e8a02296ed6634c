import type { NodeView } from '../pacemaker/cluster-view.js';
import type { Decision } from './decide.js';
import type { Evidence } from './evidence.js';
import { whyGone } from './proof.js';
import { sameWord } from './words.js';

/** What was seen, a line each, as a person would say it. Pure. */
export function explainEvidence(evidence: Evidence): string[] {
  const { me, engine, disk, quorate, cluster, asks, words, peers, holder, farewell } = evidence;
  const lines = [
    engine
      ? `engine on ${me}: ${engine.role}, ${engine.state}, generation ${engine.generation}, ${engine.connected ? 'connected to the other node' : `without a link for ${Math.round(engine.linkless_ms / 1000)} s`}`
      : `engine on ${me}: dead`,
    `disk of ${me}: generation ${disk.generation}, owner ${disk.owner ?? 'nobody'}${disk.outdated_through > 0 ? `, outdated through generation ${disk.outdated_through}` : ''}${disk.writable ? '' : ', takes no write'}`,
    `quorum on ${me}: ${quorate ? 'yes' : 'no'}`,
  ];
  if (!cluster) return [...lines, 'cluster: nobody answers (no DC, or a CIB that cannot be read)'];
  const { claim } = cluster;
  lines.push(
    `cluster: DC ${cluster.dc ?? 'none'}, ${cluster.quorate ? 'with' : 'without'} quorum, fencing is ${cluster.fencing ? 'on' : 'off'}`,
    claim
      ? `claim: ${claim.owner}, generation ${claim.generation}${claim.engine_id === engine?.engine_id ? ' (ours)' : ''}`
      : `claim: ${claim === null ? 'one that cannot be read' : 'none'}`,
  );
  for (const peer of peers) {
    const gone = whyGone(cluster, peer, evidence.allow_unfenced);
    const word = words.get(peer);
    const said =
      word &&
      (sameWord(word, engine && { through: engine.generation, engine_id: engine.engine_id })
        ? 'has said that it is outdated'
        : `has said that it is outdated through generation ${word.through}, to somebody else`);
    lines.push(
      `${peer}${peer === holder ? ' (has the replica)' : ''}: ${nodeWords(cluster.nodes.get(peer))}${gone ? `: proven to be gone (${gone})` : ', not proven to be gone'}${said === undefined ? '' : `; ${said}`}${asks.has(peer) ? '; asks this node to become outdated' : ''}`,
    );
  }
  if (asks.has(me)) lines.push(`${me} asks the others to become outdated`);
  if (farewell !== undefined) lines.push(`the other node left in order in generation ${farewell}`);
  return lines;
}

function nodeWords(view: NodeView | undefined): string {
  if (!view) return 'unknown to the cluster';
  const membership = {
    online: 'a member',
    down: 'down as expected',
    unclear: 'lost, or joining, and not fenced',
  }[view.membership];
  const role = view.membership === 'online' ? `, the resource there is ${view.role}` : '';
  return `${membership}${role}${view.maintenance ? ', in maintenance' : ''}`;
}

/** What is done next, as a person would say it. Pure. */
export function explainDecision(decision: Decision): string {
  switch (decision.kind) {
    case 'nothing':
      return 'nothing has to be done';
    case 'wait':
      return `wait: ${decision.reason}`;
    case 'place-claim':
      return `claim generation ${decision.claim.generation} in the CIB`;
    case 'replace-claim':
      return `claim generation ${decision.claim.generation} in the place of ${decision.stale.owner}'s claim of generation ${decision.stale.generation}, which is over`;
    case 'take-over-claim':
      return `take over the claim of ${decision.stale.owner}, which was fenced before it had asked anybody`;
    case 'remove-claim':
      return `take the claim of ${decision.claim.owner} out of the CIB: it bars nobody any more`;
    case 'ask-peer':
      return `ask the other node to become outdated through generation ${decision.ask.through}`;
    case 'withdraw-ask':
      return 'withdraw what was asked: nobody needs it any more';
    case 'say-outdated':
      return `write to the disk, then say, that no replica up to generation ${decision.word.through} is gone on from here`;
    case 'enter-solo':
      return `go on without a replica in generation ${decision.generation} (${decision.proof})`;
    case 'give-up':
      return `end the guest here: ${decision.reason}`;
  }
}
