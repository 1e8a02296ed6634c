import { descendants, type Element } from '../common/xml.js';
import { parseClaim, type Claim } from './claim.js';
import { isUnfenced, isYes } from './cib.js';

/**
 * Where a node stands, from its node_state. down: gone as was expected, that is fenced or stopped in order: the only word
 * of the cluster that proves that nothing of it runs. Everything between is unclear.
 */
export type Membership = 'online' | 'down' | 'unclear';

/** What the operations on the resource that are recorded of a node say that it is there. */
export type RecordedRole = 'stopped' | 'unpromoted' | 'promoted' | 'unclear';

export interface NodeView {
  readonly membership: Membership;
  /** Nobody stops the resources of such a node when it leaves. */
  readonly maintenance: boolean;
  readonly role: RecordedRole;
}

/** What the CIB says about one resource, as the DC has it. */
export interface ClusterView {
  /** The partition of the DC, as it sees itself. */
  readonly quorate: boolean;
  readonly dc: string | undefined;
  readonly fencing: boolean;
  /** Pacemaker starts and stops the resource. */
  readonly managed: boolean;
  /** What a constraint on the Promoted role has to name; undefined: the resource is not in the CIB. */
  readonly target: string | undefined;
  /** null: a constraint of that name which cannot be read. */
  readonly claim: Claim | null | undefined;
  readonly nodes: ReadonlyMap<string, NodeView>;
}

/** Reads the CIB, of Pacemaker 2.1 and 3.0. Pure. */
export function viewCluster(cib: Element, resource: string): ClusterView {
  const section = (name: string) => descendants(cib, name)[0];
  const properties = section('crm_config');
  const constraints = section('constraints');
  const primitive = descendants(cib, 'primitive').find((one) => one.attributes.get('id') === resource);
  const clone = [...descendants(cib, 'clone'), ...descendants(cib, 'master')].find((one) =>
    descendants(one, 'primitive').some((inside) => inside.attributes.get('id') === resource),
  );
  const places = [properties, section('rsc_defaults'), clone, primitive];
  return {
    quorate: isYes(cib.attributes.get('have-quorum')),
    dc: nodeById(cib, cib.attributes.get('dc-uuid')),
    fencing: properties === undefined || !isUnfenced(properties),
    managed: places.every((place) => place === undefined || isManaged(place)),
    target: (clone ?? primitive)?.attributes.get('id'),
    claim: constraints ? parseClaim(resource, constraints) : undefined,
    nodes: new Map(
      descendants(cib, 'node_state').flatMap((state) => {
        const name = state.attributes.get('uname');
        return name === undefined ? [] : [[name, viewNode(cib, state, name, resource)] as const];
      }),
    ),
  };
}

function nodeById(cib: Element, id: string | undefined): string | undefined {
  const node = descendants(cib, 'node').find((one) => one.attributes.get('id') === id);
  return node?.attributes.get('uname');
}

function isManaged(place: Element): boolean {
  return !descendants(place, 'nvpair').some(({ attributes }) => {
    const [name, value] = [attributes.get('name'), attributes.get('value')];
    if (name === 'is-managed' || name === 'is-managed-default') return !isYes(value);
    return (name === 'maintenance' || name === 'maintenance-mode') && isYes(value);
  });
}

function viewNode(cib: Element, state: Element, name: string, resource: string): NodeView {
  const permanent = descendants(cib, 'node').find((one) => one.attributes.get('uname') === name);
  const transient = state.children.filter((one) => one.name === 'transient_attributes');
  const attributes = [...(permanent ? [permanent] : []), ...transient].flatMap((one) =>
    descendants(one, 'nvpair'),
  );
  const operations = descendants(state, 'lrm_resource')
    .filter((one) => isInstance(one.attributes.get('id') ?? '', resource))
    .flatMap((one) => descendants(one, 'lrm_rsc_op'));
  return {
    membership: membershipOf(state.attributes),
    maintenance: attributes.some(
      (one) => one.attributes.get('name') === 'maintenance' && isYes(one.attributes.get('value')),
    ),
    role: recordedRole(operations.map(readOperation)),
  };
}

/** An anonymous clone's instance may carry a number. */
function isInstance(id: string, resource: string): boolean {
  return id === resource || (id.startsWith(`${resource}:`) && /^\d+$/.test(id.slice(resource.length + 1)));
}

/** Since Pacemaker 2.1.7 (feature set 3.18) in_ccm and crmd are the times since when it is so, and 0 if it is not. */
function membershipOf(attributes: ReadonlyMap<string, string>): Membership {
  const isIn = (name: string): boolean | undefined => {
    const value = attributes.get(name);
    if (value === undefined) return undefined;
    if (/^\d+$/.test(value)) return Number(value) > 0;
    return value === 'true' || value === 'online';
  };
  const [member, process] = [isIn('in_ccm'), isIn('crmd')];
  const [join, expected] = [attributes.get('join'), attributes.get('expected')];
  if (member === true && process === true && join === 'member') return 'online';
  const isOut = member === false && process === false;
  return isOut && join === 'down' && expected === 'down' ? 'down' : 'unclear';
}

interface Operation {
  readonly name: string;
  readonly recurring: boolean;
  readonly call: number;
  /** -1: under way. */
  readonly status: number;
  readonly code: number;
}

function readOperation({ attributes }: Element): Operation {
  const number = (name: string) => Number.parseInt(attributes.get(name) ?? '', 10);
  return {
    name: attributes.get('operation') ?? '',
    recurring: number('interval') > 0,
    call: number('call-id'),
    status: number('op-status'),
    code: number('rc-code'),
  };
}

const UNDER_WAY = -1;
const NOT_RUNNING = 7;

/**
 * The operation that was last, if it is one that leaves no doubt. One that is under way has no number yet, and all that is
 * known of a role is in doubt then. A recurring monitor changes nothing.
 */
export function recordedRole(operations: readonly Operation[]): RecordedRole {
  const changes = operations.filter(({ name, recurring }) => !recurring && name !== 'notify');
  if (changes.length === 0) return 'unclear';
  if (changes.some(({ status, call }) => status === UNDER_WAY || Number.isNaN(call))) return 'unclear';
  const { name, status, code } = changes.reduce((last, one) => (one.call > last.call ? one : last));
  if (name === 'monitor' && code === NOT_RUNNING) return 'stopped';
  if (status !== 0 || code !== 0) return 'unclear';
  switch (name) {
    case 'stop':
      return 'stopped';
    case 'start':
    case 'demote':
      return 'unpromoted';
    case 'promote':
      return 'promoted';
    default:
      return 'unclear';
  }
}
