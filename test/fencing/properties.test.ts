// Whatever the evidence is, contradictory evidence included: nothing is decided that an invariant forbids. fast-check prints
// the seed and the smallest evidence of a failure.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Membership, NodeView, RecordedRole } from '../../src/pacemaker/cluster-view.js';
import { decide, decideHotPromotion } from '../../src/fencing/decide.js';
import type { Evidence } from '../../src/fencing/evidence.js';
import { sameWord } from '../../src/fencing/words.js';
import { LIFE, OTHER_LIFE } from './evidence.js';

const RUNS = 20_000;
/** A property of what is never decided says nothing. */
const DECIDED_MIN = 5;
/** Mostly what lets a decision through: all of it at once would hardly ever come. */
const mostly = (usual: boolean) => fc.integer({ min: 0, max: 9 }).map((dice) => (dice > 0 ? usual : !usual));
const generation = fc.integer({ min: 1, max: 3 });
const node = fc.constantFrom('n1', 'n1', 'n2', 'n2', 'n3');
const life = fc.constantFrom(LIFE, LIFE, LIFE, OTHER_LIFE);
const claim = fc.record({ owner: node, generation, engine_id: life });
const words = fc
  .array(fc.tuple(node, fc.record({ through: generation, engine_id: life })), { maxLength: 3 })
  .map((pairs) => new Map(pairs));
const view: fc.Arbitrary<NodeView> = fc.record({
  membership: fc.constantFrom<Membership>('online', 'down', 'down', 'down', 'unclear'),
  maintenance: mostly(false),
  role: fc.constantFrom<RecordedRole>('stopped', 'unpromoted', 'promoted', 'unclear'),
});
const states = {
  primary: ['solo', 'syncing', 'protected', 'frozen', 'frozen', 'frozen', 'ended'],
  secondary: ['empty', 'receiving', 'in-sync', 'in-sync', 'in-sync', 'handed-over', 'parked'],
} as const;
const engine = fc.constantFrom('primary' as const, 'secondary' as const).chain((role) =>
  fc.record({
    role: fc.constant(role),
    state: fc.constantFrom(...states[role]),
    engine_id: life,
    generation,
    connected: mostly(false),
    linkless_ms: fc.constantFrom(0, 10_000, 10_000),
  }),
);
const evidence: fc.Arbitrary<Evidence> = fc.record({
  me: fc.constant('n1'),
  peers: fc.constantFrom(['n2'], ['n2', 'n3']),
  holder: fc.constantFrom('n2', undefined),
  engine: fc.option(engine, { nil: undefined, freq: 9 }),
  disk: fc.record({
    generation,
    owner: fc.option(node),
    outdated_through: fc.integer({ min: 0, max: 2 }),
    writable: mostly(true),
  }),
  quorate: mostly(true),
  cluster: fc.option(
    fc.record({
      quorate: mostly(true),
      dc: fc.constantFrom('n1', 'n1', 'n1', undefined),
      fencing: mostly(true),
      managed: mostly(true),
      target: fc.constantFrom('vm1-clone', 'vm1-clone', 'vm1-clone', undefined),
      claim: fc.oneof({ weight: 12, arbitrary: claim }, fc.constant(undefined), fc.constant(null)),
      nodes: fc.record({ n1: view, n2: view, n3: view }).map((nodes) => new Map(Object.entries(nodes))),
    }),
    { nil: undefined, freq: 9 },
  ),
  asks: words,
  words,
  farewell: fc.option(generation, { nil: undefined }),
  confirmed: fc.option(generation, { nil: undefined }),
  allow_unfenced: fc.boolean(),
});

/** Nothing of the resource can run on `peer`, read from the evidence anew. */
function isGone({ cluster, allow_unfenced }: Evidence, peer: string): boolean {
  const seen = cluster?.nodes.get(peer);
  if (!cluster || !seen) return false;
  const unfenced = allow_unfenced && !cluster.fencing && seen.membership === 'unclear';
  if (seen.membership === 'down' || unfenced) return cluster.managed && !seen.maintenance;
  return seen.membership === 'online' && seen.role === 'stopped';
}

test('solo needs quorum, the own claim, a disk, and the word or the end of everybody who may have the replica (I2)', () => {
  let decided = 0;
  fc.assert(
    fc.property(evidence, (all) => {
      const decision = decide(all);
      if (decision.kind !== 'enter-solo') return;
      decided += 1;
      const { engine: primary, cluster, disk, me } = all;
      expect(primary).toMatchObject({ role: 'primary', state: 'frozen', connected: false });
      expect(all.quorate && cluster?.quorate).toBe(true);
      expect(cluster?.claim).toMatchObject({ owner: me, engine_id: primary?.engine_id });
      expect(cluster?.claim?.generation).toBeGreaterThan(primary?.generation ?? Infinity);
      expect(cluster?.fencing === true || all.allow_unfenced).toBe(true);
      expect(decision.generation).toBeGreaterThan(Math.max(primary?.generation ?? Infinity, disk.generation));
      expect(disk.writable).toBe(true);
      const word = { through: primary?.generation ?? NaN, engine_id: primary?.engine_id ?? '' };
      const mayHaveIt = all.holder === undefined ? all.peers : [all.holder];
      const isSafe = (peer: string) => sameWord(all.words.get(peer), word) || isGone(all, peer);
      const isTold = all.farewell === primary?.generation || all.confirmed === primary?.generation;
      expect(isTold || mayHaveIt.every(isSafe)).toBe(true);
    }),
    { numRuns: RUNS },
  );
  expect(decided).toBeGreaterThan(DECIDED_MIN);
});

test('a replica is promoted only with proof that its primary does not run, and never after the word that it is outdated (I3)', () => {
  let decided = 0;
  fc.assert(
    fc.property(evidence, (all) => {
      const promotion = decideHotPromotion(all, 'vm1');
      if (promotion.kind !== 'allow') return;
      decided += 1;
      const { engine: secondary, cluster, disk, me } = all;
      expect(['in-sync', 'handed-over']).toContain(secondary?.state);
      expect(secondary?.generation).toBeGreaterThan(disk.outdated_through);
      expect(all.quorate).toBe(true);
      expect(promotion.generation).toBeGreaterThan(
        Math.max(secondary?.generation ?? Infinity, disk.generation),
      );
      const owners = disk.owner === null || disk.owner === me ? all.peers : [disk.owner];
      for (const owner of owners) {
        const seen = cluster?.nodes.get(owner);
        const isDemoted = seen?.membership === 'online' && seen.role === 'unpromoted';
        expect(isDemoted || isGone(all, owner)).toBe(true);
      }
      const claimed = cluster?.claim;
      if (claimed && claimed.owner !== me && claimed.generation > (secondary?.generation ?? Infinity)) {
        // Only one that was made for nothing.
        expect(claimed.generation).toBe((secondary?.generation ?? NaN) + 1);
        expect(cluster.nodes.get(claimed.owner)?.membership).not.toBe('online');
      }
    }),
    { numRuns: RUNS },
  );
  expect(decided).toBeGreaterThan(DECIDED_MIN);
});

test('a node that says that it is outdated runs no guest, and has no replica that its primary still reaches', () => {
  let decided = 0;
  fc.assert(
    fc.property(evidence, (all) => {
      const decision = decide(all);
      if (decision.kind !== 'say-outdated') return;
      decided += 1;
      expect(all.engine?.role).not.toBe('primary');
      expect(all.disk.writable).toBe(true);
      expect(all.peers.some((peer) => sameWord(all.asks.get(peer), decision.word))).toBe(true);
      const isInUse = all.engine?.connected === true && all.engine.state === 'in-sync';
      expect(isInUse).toBe(false);
    }),
    { numRuns: RUNS },
  );
  expect(decided).toBeGreaterThan(DECIDED_MIN);
});

test('a guest is given up only for a later one, and a claim is taken away only when it bars nobody rightly', () => {
  const kinds = new Map<string, number>();
  fc.assert(
    fc.property(evidence, (all) => {
      const decision = decide(all);
      kinds.set(decision.kind, (kinds.get(decision.kind) ?? 0) + 1);
      const current = all.cluster?.claim;
      if (decision.kind === 'give-up') {
        expect(current?.owner).not.toBe(all.me);
        expect(current?.generation).toBeGreaterThan(all.engine?.generation ?? Infinity);
      }
      if (decision.kind === 'remove-claim') {
        expect(all.engine).toMatchObject({ role: 'primary', state: 'protected' });
        const isOwn = decision.claim.owner === all.me && decision.claim.engine_id === all.engine?.engine_id;
        expect(isOwn || decision.claim.generation <= (all.engine?.generation ?? -1)).toBe(true);
      }
      if (decision.kind === 'replace-claim' || decision.kind === 'take-over-claim')
        expect(decision.stale).toEqual(current);
    }),
    { numRuns: RUNS },
  );
  for (const kind of ['give-up', 'remove-claim', 'replace-claim', 'take-over-claim'])
    expect(kinds.get(kind), kind).toBeGreaterThan(DECIDED_MIN);
});
