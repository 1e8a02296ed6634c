import { expect, test } from 'vitest';
import { coldStartBar, decide, decideHotPromotion, type Decision } from '../../src/fencing/decide.js';
import type { Evidence } from '../../src/fencing/evidence.js';
import {
  claimOf,
  cluster,
  down,
  engine,
  frozen,
  GENERATION,
  LIFE,
  online,
  OTHER_LIFE,
  replica,
  unclear,
} from './evidence.js';

const own = claimOf('n1', GENERATION + 1);
const ask = { through: GENERATION, engine_id: LIFE };
const asked = { asks: new Map([['n1', ask]]) };
const said = { words: new Map([['n2', ask]]) };
const stopped = { ...online, role: 'stopped' } as const;
const claimed = (peer = online, change = {}) => ({ cluster: cluster({ claim: own, ...change }, peer) });

const kindOf = (evidence: Evidence) => decide(evidence).kind;

test.each<[string, Partial<Evidence>, Decision['kind']]>([
  ['the link has just been lost', { engine: engine({ linkless_ms: 10 }) }, 'wait'],
  ['the link is back', { engine: engine({ connected: true }) }, 'nothing'],
  ['no quorum here', { quorate: false }, 'wait'],
  ['no quorum at the DC', { cluster: cluster({ quorate: false }) }, 'wait'],
  ['nobody answers', { cluster: undefined }, 'wait'],
  ['no DC', { cluster: cluster({ dc: undefined }) }, 'wait'],
  ['fencing is turned off', { cluster: cluster({ fencing: false }) }, 'wait'],
  ['no claim', {}, 'place-claim'],
  ['a claim that cannot be read', { cluster: cluster({ claim: null }) }, 'wait'],
  ['no resource in the CIB', { cluster: cluster({ target: undefined }) }, 'wait'],
  [
    'a claim of ours, of an earlier generation',
    { cluster: cluster({ claim: claimOf('n1', 7) }) },
    'replace-claim',
  ],
  [
    'a claim of an earlier life of ours',
    { cluster: cluster({ claim: claimOf('n1', 8, OTHER_LIFE) }) },
    'replace-claim',
  ],
  [
    'a claim of the other node that is over',
    { cluster: cluster({ claim: claimOf('n2', 7) }) },
    'replace-claim',
  ],
  ['the other node goes on', { cluster: cluster({ claim: claimOf('n2', 8, OTHER_LIFE) }) }, 'give-up'],
  ['our claim is there', claimed(), 'ask-peer'],
  [
    'an ask of an earlier generation',
    { ...claimed(), asks: new Map([['n1', { ...ask, through: 6 }]]) },
    'ask-peer',
  ],
  ['the other node has been asked', { ...claimed(), ...asked }, 'wait'],
  ['it has said so', { ...claimed(), ...asked, ...said }, 'enter-solo'],
  ['it has said so, but there is no claim', { ...asked, ...said }, 'place-claim'],
  [
    'it has said so of an earlier generation',
    { ...claimed(), ...asked, words: new Map([['n2', { ...ask, through: 6 }]]) },
    'wait',
  ],
  [
    'it has said so to an earlier life',
    { ...claimed(), ...asked, words: new Map([['n2', { ...ask, engine_id: OTHER_LIFE }]]) },
    'wait',
  ],
  ['it is fenced', { ...claimed(down), ...asked }, 'enter-solo'],
  ['it is fenced, and was not asked', claimed(down), 'enter-solo'],
  ['it is lost, and not fenced yet', { ...claimed(unclear), ...asked }, 'wait'],
  ['it is down in maintenance', { ...claimed({ ...down, maintenance: true }), ...asked }, 'wait'],
  ['it is down, and nobody managed the resource', { ...claimed(down, { managed: false }), ...asked }, 'wait'],
  ['it has stopped the resource', { ...claimed(stopped), ...asked }, 'enter-solo'],
  [
    'it is lost, and had stopped the resource',
    { ...claimed({ ...unclear, role: 'stopped' }), ...asked },
    'wait',
  ],
  ['it has left in order', { farewell: GENERATION, ...claimed() }, 'enter-solo'],
  [
    'it has left in order just now',
    { farewell: GENERATION, engine: engine({ linkless_ms: 0 }) },
    'place-claim',
  ],
  ['it left in order a generation ago', { farewell: GENERATION - 1, ...claimed(), ...asked }, 'wait'],
  ['a person says that it is down', { ...claimed(unclear), ...asked, confirmed: GENERATION }, 'enter-solo'],
  [
    'a person said so of an earlier generation',
    { ...claimed(unclear), ...asked, confirmed: GENERATION - 1 },
    'wait',
  ],
  [
    'the disk takes no write',
    { ...claimed(down), disk: { generation: 7, owner: 'n1', outdated_through: 0, writable: false } },
    'wait',
  ],
  [
    'nobody knows who has the replica: each must be gone',
    { ...claimed(down), holder: undefined },
    'enter-solo',
  ],
  ['one of those is not', { ...claimed(down), holder: undefined, peers: ['n2', 'n3'], ...asked }, 'wait'],
  [
    'without fencing, where that is allowed, a node that is away is down',
    { ...claimed(unclear, { fencing: false }), allow_unfenced: true },
    'enter-solo',
  ],
])('frozen, %s', (_, change, kind) => {
  expect(kindOf(frozen(change))).toBe(kind);
});

test('a claim and the step to solo are of a generation above all that was used', () => {
  const disk = { generation: 9, owner: 'n1', outdated_through: 0, writable: true };
  expect(decide(frozen({ disk }))).toMatchObject({ claim: { generation: 10 } });
  const claim = claimOf('n1', 10);
  expect(decide(frozen({ disk, cluster: cluster({ claim }, down) }))).toEqual({
    kind: 'enter-solo',
    generation: 10,
    proof: 'fenced',
  });
});

const protectedEngine = engine({ state: 'protected', connected: true, linkless_ms: 0 });
test.each<[string, Partial<Evidence>, Decision['kind']]>([
  ['nothing is left to tidy', {}, 'nothing'],
  ['an ask is left', asked, 'withdraw-ask'],
  [
    'the claim of this generation',
    { cluster: cluster({ claim: claimOf('n1', GENERATION) }) },
    'remove-claim',
  ],
  ['an older claim of the other node', { cluster: cluster({ claim: claimOf('n2', 3) }) }, 'remove-claim'],
  ['a claim for nothing: the link came back', { cluster: cluster({ claim: own }) }, 'remove-claim'],
  ['a later claim of the other node', { cluster: cluster({ claim: claimOf('n2', 9) }) }, 'nothing'],
  ['no quorum', { quorate: false, cluster: cluster({ claim: own }) }, 'nothing'],
])('protected, %s', (_, change, kind) => {
  expect(kindOf(frozen({ engine: protectedEngine, ...change }))).toBe(kind);
});

test('before the first checkpoint of a generation its claim stays', () => {
  for (const state of ['solo', 'syncing'] as const) {
    const evidence = frozen({ engine: engine({ state }), cluster: cluster({ claim: claimOf('n1', 7) }) });
    expect(kindOf(evidence)).toBe('nothing');
  }
});

const claimedByPrimary = (generation = GENERATION + 1, peer = down, change = {}) => ({
  cluster: cluster({
    claim: claimOf('n1', generation),
    nodes: new Map([
      ['n1', peer],
      ['n2', online],
    ]),
    ...change,
  }),
});

test.each<[string, Partial<Evidence>, Decision['kind']]>([
  ['nobody asks', {}, 'nothing'],
  ['asked, without a link', asked, 'say-outdated'],
  [
    'asked, while the link is there',
    { ...asked, engine: engine({ role: 'secondary', state: 'in-sync', connected: true }) },
    'nothing',
  ],
  [
    'asked, while a replica is being made',
    { ...asked, engine: engine({ role: 'secondary', state: 'receiving', connected: true }) },
    'say-outdated',
  ],
  ['asked, and the engine is dead', { ...asked, engine: undefined }, 'say-outdated'],
  ['asked, and it has been said', { ...asked, words: new Map([['n2', ask]]) }, 'nothing'],
  [
    'asked, and the disk takes no write',
    { ...asked, disk: { generation: 7, owner: 'n1', outdated_through: 0, writable: false } },
    'wait',
  ],
  ['the primary was fenced after its claim', claimedByPrimary(), 'take-over-claim'],
  ['it has claimed, and lives', claimedByPrimary(8, online), 'nothing'],
  ['it has claimed, and is lost', claimedByPrimary(8, unclear), 'nothing'],
  ['its claim is of a later generation: it has gone on', claimedByPrimary(9), 'nothing'],
  [
    'we have said that we are outdated',
    { ...claimedByPrimary(), disk: { generation: 7, owner: 'n1', outdated_through: 7, writable: true } },
    'nothing',
  ],
  [
    'the replica is not complete',
    { ...claimedByPrimary(), engine: engine({ role: 'secondary', state: 'receiving' }) },
    'nothing',
  ],
  ['it was fenced in maintenance', claimedByPrimary(8, { ...down, maintenance: true }), 'nothing'],
  ['no quorum', { ...claimedByPrimary(), quorate: false }, 'nothing'],
])('secondary, %s', (_, change, kind) => {
  expect(kindOf(replica(change))).toBe(kind);
});

const primaryIs = (peer: typeof online) => claimedByPrimary(8, peer, { claim: undefined });
test.each<[string, Partial<Evidence>, string]>([
  ['the primary is fenced', {}, 'allow'],
  ['it is demoted', primaryIs({ ...online, role: 'unpromoted' }), 'allow'],
  ['it is stopped', primaryIs(stopped), 'allow'],
  ['its demotion is under way', primaryIs({ ...online, role: 'unclear' }), 'retry'],
  ['it is promoted', primaryIs({ ...online, role: 'promoted' }), 'retry'],
  ['it is lost', primaryIs(unclear), 'retry'],
  ['it is down in maintenance', primaryIs({ ...down, maintenance: true }), 'retry'],
  ['no quorum', { quorate: false }, 'retry'],
  ['nobody answers', { cluster: undefined }, 'retry'],
  [
    'the replica is outdated',
    { disk: { generation: 7, owner: 'n1', outdated_through: 7, writable: true } },
    'refuse',
  ],
  ['there is none', { engine: engine({ role: 'secondary', state: 'empty' }) }, 'refuse'],
  ['the primary has gone on', claimedByPrimary(9), 'refuse'],
  ['the primary had claimed, asked nobody, and is fenced', claimedByPrimary(), 'allow'],
  ['a claim that is over', claimedByPrimary(6), 'allow'],
  ['a claim that cannot be read', { cluster: cluster({ claim: null }) }, 'refuse'],
  ['fencing is turned off', { cluster: cluster({ fencing: false }) }, 'refuse'],
])('promotion of a replica, %s', (_, change, kind) => {
  const promotion = decideHotPromotion(replica(change), 'vm1');
  expect(promotion.kind).toBe(kind);
  if (promotion.kind !== 'allow') expect(promotion.reason).toMatch(/vm1|n[12]|fencing/);
});

test('a refusal says since when the replica is outdated', () => {
  const disk = { generation: 9, owner: 'n1', outdated_through: 8, writable: true };
  expect(decideHotPromotion(replica({ disk }), 'vm1')).toMatchObject({
    reason: expect.stringContaining('outdated since generation 8') as string,
  });
});

test('a disk boots only what no other node has gone on from', () => {
  const bar = (generation: number, owner = 'n2') =>
    coldStartBar(frozen({ cluster: cluster({ claim: claimOf(owner, generation) }) }), 'vm1');
  expect(bar(GENERATION)).toBeUndefined();
  expect(bar(GENERATION + 1, 'n1')).toBeUndefined();
  expect(bar(GENERATION + 1)).toContain('start n2');
  expect(coldStartBar(frozen({ cluster: undefined }), 'vm1')).toBeUndefined();
});
