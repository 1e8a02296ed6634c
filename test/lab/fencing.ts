// The lab's fencing: a device per node, and the properties that make Pacemaker use them. Written with cibadmin, in one
// step, because a cluster must not be without fencing for as long as pcs would take.
import type { Lab } from './lab.js';

function device(node: string): string {
  const id = `fence-${node}`;
  return `<primitive id="${id}" class="stonith" type="fence_lab">
  <instance_attributes id="${id}-attributes">
    <nvpair id="${id}-plug" name="plug" value="${node}"/>
    <nvpair id="${id}-hosts" name="pcmk_host_list" value="${node}"/>
  </instance_attributes>
  <operations><op id="${id}-monitor" name="monitor" interval="60s" timeout="20s"/></operations>
</primitive>`;
}

const PROPERTIES: Readonly<Record<string, string>> = {
  'stonith-enabled': 'true',
  'stonith-timeout': '20s',
  'cluster-recheck-interval': '60s',
};

/** Gives every node of the lab its fencing device. */
export async function configureFencing(lab: Lab): Promise<void> {
  const properties = Object.entries(PROPERTIES).map(
    ([name, value]) => `<nvpair id="lab-${name}" name="${name}" value="${value}"/>`,
  );
  // No node runs the device that fences itself.
  const constraints = lab.nodes.map(
    (node) =>
      `<rsc_location id="fence-${node}-elsewhere" rsc="fence-${node}" node="${node}" score="-INFINITY"/>`,
  );
  const configuration = `<configuration>
<crm_config><cluster_property_set id="lab-properties">${properties.join('')}</cluster_property_set></crm_config>
<resources>${lab.nodes.map(device).join('')}</resources>
<constraints>${constraints.join('')}</constraints>
</configuration>`;
  const command = ['cibadmin', '--modify', '--allow-create', '--xml-text', configuration];
  await lab.node(lab.nodes[0] ?? '').run(command);
}
