import type { ClusterView } from '../pacemaker/cluster-view.js';

/** Why a node cannot go on with the guest that was here. */
export type Gone =
  /** The cluster has fenced it, or it has left in order and has stopped what ran on it. */
  | 'fenced'
  /** It is a member, and has stopped the resource. */
  | 'stopped';

/**
 * What proves that nothing of the resource runs on a node; undefined: nothing does. Pure. A node that nobody sees proves
 * nothing, and neither does one that has left while nobody was to stop its resources.
 */
export function whyGone(
  { nodes, managed, fencing }: ClusterView,
  node: string,
  allowUnfenced: boolean,
): Gone | undefined {
  const view = nodes.get(node);
  if (!view) return undefined;
  const left = view.membership === 'down' || (allowUnfenced && !fencing && view.membership !== 'online');
  if (left) return managed && !view.maintenance ? 'fenced' : undefined;
  return view.membership === 'online' && view.role === 'stopped' ? 'stopped' : undefined;
}

/** What proves that the guest itself does not run on a node. Pure. */
export function whyNotPromoted(
  cluster: ClusterView,
  node: string,
  allowUnfenced: boolean,
): Gone | 'demoted' | undefined {
  const view = cluster.nodes.get(node);
  if (view?.membership === 'online' && view.role === 'unpromoted') return 'demoted';
  return whyGone(cluster, node, allowUnfenced);
}
