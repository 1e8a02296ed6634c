// The CIBs of Pacemaker 2.1.5 in test/fixtures/cib: a protected guest whose primary is n1; the same after n2 was fenced.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseCib } from '../../src/pacemaker/cib.js';
import { claimPath, formatClaim, parseClaim } from '../../src/pacemaker/claim.js';
import { recordedRole, viewCluster } from '../../src/pacemaker/cluster-view.js';
import { parseXml } from '../../src/common/xml.js';

const text = (name: string) => readFileSync(new URL(`../fixtures/cib/${name}.xml`, import.meta.url), 'utf8');
const view = (xml: string) => viewCluster(parseCib(xml), 'vm1');
const claim = { owner: 'n1', generation: 8, engine_id: '0d6c2a54-88c3-4a5e-9e5a-3d1f0c2b7a11' };

test('a protected guest', () => {
  expect(view(text('protected'))).toEqual({
    quorate: true,
    dc: 'n1',
    fencing: true,
    managed: true,
    target: 'vm1-clone',
    claim: undefined,
    nodes: new Map([
      ['n1', { membership: 'online', maintenance: false, role: 'promoted' }],
      ['n2', { membership: 'online', maintenance: false, role: 'unpromoted' }],
    ]),
  });
});

test('a node that was fenced is down', () => {
  expect(view(text('fenced')).nodes.get('n2')).toEqual({
    membership: 'down',
    maintenance: false,
    role: 'unclear',
  });
});

/** The node_state of n2 with other attributes. */
function state(attributes: string): string {
  return text('protected').replace(
    /<node_state id="2" [^>]*>/,
    `<node_state id="2" uname="n2" ${attributes}>`,
  );
}
test.each([
  ['in_ccm="true" crmd="online" join="member" expected="member"', 'online'],
  ['in_ccm="1796010000" crmd="1796010001" join="member" expected="member"', 'online'],
  ['in_ccm="false" crmd="offline" join="down" expected="down"', 'down'],
  ['in_ccm="0" crmd="0" join="down" expected="down"', 'down'],
  ['in_ccm="0" crmd="offline" join="down" expected="down"', 'down'],
  ['in_ccm="false" crmd="offline" join="down" expected="member"', 'unclear'],
  ['in_ccm="0" crmd="0" join="member" expected="member"', 'unclear'],
  ['in_ccm="true" crmd="online" join="down" expected="down"', 'unclear'],
  ['in_ccm="true" crmd="offline" join="down" expected="down"', 'unclear'],
  ['in_ccm="1796010000" crmd="1796010001" join="pending" expected="member"', 'unclear'],
  ['crmd="offline" join="down" expected="down"', 'unclear'],
  ['in_ccm="false" join="down" expected="down"', 'unclear'],
  ['', 'unclear'],
])('%s is %s', (attributes, membership) => {
  expect(view(state(attributes)).nodes.get('n2')?.membership).toBe(membership);
});

const pair = (name: string, value: string) => `<nvpair id="x-${name}" name="${name}" value="${value}"/>`;
test.each([
  [
    'the cluster is in maintenance',
    '<cluster_property_set id="lab-properties">',
    pair('maintenance-mode', 'true'),
  ],
  [
    'the clone is not managed',
    '<meta_attributes id="vm1-clone-meta_attributes">',
    pair('is-managed', 'false'),
  ],
  [
    'the clone is in maintenance',
    '<meta_attributes id="vm1-clone-meta_attributes">',
    pair('maintenance', 'yes'),
  ],
])('%s: nobody stops the resource of a node that leaves', (_, place, inside) => {
  const xml = text('protected');
  expect(xml).toContain(place);
  expect(view(xml.replace(place, `${place}${inside}`)).managed).toBe(false);
});

test('a node in maintenance, and a cluster without fencing or quorum', () => {
  const node = '<node id="2" uname="n2"';
  const inside = `<instance_attributes id="nodes-2">${pair('maintenance', 'on')}</instance_attributes>`;
  const xml = text('protected').replace(/<node id="2" uname="n2"\/>/, `${node}>${inside}</node>`);
  expect(view(xml).nodes.get('n2')?.maintenance).toBe(true);
  expect(view(xml).nodes.get('n1')?.maintenance).toBe(false);
  const bare = text('protected').replace(
    'name="stonith-enabled" value="true"',
    'name="fencing-enabled" value="off"',
  );
  expect(view(bare).fencing).toBe(false);
  const alone = view(text('protected').replace('have-quorum="1" dc-uuid="1"', 'have-quorum="0"'));
  expect(alone).toMatchObject({ quorate: false, dc: undefined });
});

test('a claim is found as it was written, and by the whole of what it says', () => {
  const constraints = (inside: string) => parseXml(`<constraints>${inside}</constraints>`);
  const named = { ...claim, owner: `n1.<"&'` };
  expect(parseClaim('vm1', constraints(formatClaim('vm1', 'vm1-clone', named)))).toEqual(named);
  expect(parseClaim('vm', constraints(formatClaim('vm1', 'vm1-clone', claim)))).toBeUndefined();
  expect(parseClaim('vm1', constraints(''))).toBeUndefined();
  expect(
    parseClaim('vm1', constraints('<rsc_location id="kemari-claim-vm1" rsc="vm1" node="n1" score="1"/>')),
  ).toBeNull();
  expect(claimPath('vm1', claim)).not.toBe(claimPath('vm1', { ...claim, generation: 9 }));
});

const operation = (name: string, call: number, change = {}) => ({
  name,
  recurring: false,
  call,
  status: 0,
  code: 0,
  ...change,
});
test.each([
  ['nothing is recorded', [], 'unclear'],
  ['started', [operation('start', 3)], 'unpromoted'],
  ['promoted', [operation('start', 3), operation('promote', 5)], 'promoted'],
  ['demoted', [operation('promote', 5), operation('demote', 9)], 'unpromoted'],
  ['stopped', [operation('demote', 9), operation('stop', 11)], 'stopped'],
  ['in another order', [operation('stop', 11), operation('demote', 9)], 'stopped'],
  ['a probe that found nothing', [operation('monitor', 3, { code: 7 })], 'stopped'],
  ['a probe that found it', [operation('monitor', 3, { code: 8 })], 'unclear'],
  [
    'a recurring monitor says nothing new',
    [operation('promote', 5), operation('monitor', 7, { recurring: true, code: 7 })],
    'promoted',
  ],
  ['a stop that failed', [operation('start', 3), operation('stop', 5, { code: 1 })], 'unclear'],
  [
    'a demote that timed out',
    [operation('promote', 3), operation('demote', 5, { status: 2, code: 1 })],
    'unclear',
  ],
  [
    'a start that is under way',
    [operation('stop', 5), operation('start', -1, { status: -1, code: 193 })],
    'unclear',
  ],
  ['one without a number', [operation('stop', NaN)], 'unclear'],
] as const)('%s', (_, operations, role) => {
  expect(recordedRole(operations)).toBe(role);
});
