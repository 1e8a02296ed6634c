// What `crm_mon --output-as=xml` says about a cluster, as far as the stories ask.
import { descendants, parseXml, type Element } from '../../src/common/xml.js';

export interface NodeStatus {
  readonly name: string;
  readonly online: boolean;
  /** Fencing of it is due or under way. */
  readonly unclean: boolean;
  /** Its cluster layer is in, its resource layer not yet. */
  readonly pending: boolean;
}

export interface InstanceStatus {
  readonly resource: string;
  readonly role: string;
  readonly node: string;
  readonly failed: boolean;
  /** The cluster acts on it: not in maintenance. */
  readonly managed: boolean;
  /** An operation that is under way, such as Promoting. */
  readonly pending: string | undefined;
}

export interface FailedOperation {
  readonly operation: string;
  readonly node: string;
  readonly exit_code: number;
  readonly exit_reason: string;
}

export interface ClusterStatus {
  readonly quorate: boolean;
  readonly dc: string | undefined;
  readonly nodes: readonly NodeStatus[];
  readonly instances: readonly InstanceStatus[];
  readonly failures: readonly FailedOperation[];
}

function isTrue(element: Element, name: string): boolean {
  return element.attributes.get(name) === 'true';
}

export function parseClusterStatus(xml: string): ClusterStatus {
  const document = parseXml(xml);
  const [dc] = descendants(document, 'current_dc');
  const nodes = descendants(document, 'nodes').flatMap((list) => descendants(list, 'node'));
  return {
    quorate: dc !== undefined && isTrue(dc, 'with_quorum'),
    dc: dc?.attributes.get('name'),
    nodes: nodes.map((node) => ({
      name: node.attributes.get('name') ?? '',
      online: isTrue(node, 'online'),
      unclean: isTrue(node, 'unclean'),
      pending: isTrue(node, 'pending'),
    })),
    instances: descendants(document, 'resource').flatMap((resource) =>
      descendants(resource, 'node').map((node) => ({
        resource: resource.attributes.get('id') ?? '',
        role: resource.attributes.get('role') ?? '',
        node: node.attributes.get('name') ?? '',
        failed: isTrue(resource, 'failed'),
        managed: isTrue(resource, 'managed'),
        pending: resource.attributes.get('pending'),
      })),
    ),
    failures: descendants(document, 'failure').map((failure) => ({
      operation: failure.attributes.get('op_key') ?? failure.attributes.get('id') ?? '',
      node: failure.attributes.get('node') ?? '',
      exit_code: Number(failure.attributes.get('exitcode')),
      exit_reason: failure.attributes.get('exitreason') ?? '',
    })),
  };
}

/** Node on which `resource` is Promoted. */
export function promotedNode(status: ClusterStatus, resource: string): string | undefined {
  return status.instances.find((one) => one.resource === resource && one.role === 'Promoted')?.node;
}

/** Nodes on which `resource` is Unpromoted. */
export function unpromotedNodes(status: ClusterStatus, resource: string): string[] {
  return status.instances
    .filter((one) => one.resource === resource && one.role === 'Unpromoted')
    .map((one) => one.node);
}
