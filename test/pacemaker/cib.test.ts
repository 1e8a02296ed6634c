import { expect, test } from 'vitest';
import { attributesOfNodes, parseCib } from '../../src/pacemaker/cib.js';

const nodes = `<nodes>
  <node id="1" uname="n1">
    <instance_attributes id="nodes-1">
      <nvpair id="nodes-1-standby" name="standby" value="off"/>
      <nvpair id="nodes-1-a" name="kemari-sync-address" value="10.0.0.1"/>
    </instance_attributes>
  </node>
  <node id="2" uname="n2"/>
  <node id="3" uname="n3" type="remote">
    <instance_attributes id="nodes-3"><nvpair id="nodes-3-a" name="kemari-sync-address" value="10.0.0.3:1"/></instance_attributes>
  </node>
</nodes>
`;

test('the permanent attribute of each node that has it', () => {
  expect([...attributesOfNodes(parseCib(nodes), 'kemari-sync-address')]).toEqual([
    ['n1', '10.0.0.1'],
    ['n3', '10.0.0.3:1'],
  ]);
});

test('what is no XML is said to be none', () => {
  expect(() => parseCib('Call cib_query failed')).toThrow('cibadmin printed what is no CIB');
});
