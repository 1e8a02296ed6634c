import { descendants, type Element } from '../common/xml.js';

/**
 * Who may go on with the guest, as all nodes of the cluster know it: a location constraint that keeps the Promoted role off
 * every node but the owner, unless that node would go on from something as new.
 */
export interface Claim {
  readonly owner: string;
  /** The generation that the owner is about to begin, or has begun: what is older is barred. */
  readonly generation: number;
  /** The owner's engine, of this one life. */
  readonly engine_id: string;
}

export function claimId(resource: string): string {
  return `kemari-claim-${resource}`;
}

/** The attribute by which a node says what generation it would go on from. */
export function generationAttribute(resource: string): string {
  return `kemari-generation-${resource}`;
}

function ruleId(resource: string, { generation, engine_id }: Claim): string {
  return `${claimId(resource)}-${generation}-${engine_id}`;
}

/** The constraint; `target` is the resource as it can be promoted: the clone. */
export function formatClaim(resource: string, target: string, claim: Claim): string {
  const rule = ruleId(resource, claim);
  const attribute = generationAttribute(resource);
  // Names of nodes are the cluster's own, but may hold what XML does not take.
  return `<rsc_location id="${claimId(resource)}" rsc="${escape(target)}">
  <rule id="${rule}" role="Promoted" score="-INFINITY" boolean-op="and">
    <expression id="${rule}-owner" attribute="#uname" operation="ne" value="${escape(claim.owner)}"/>
    <rule id="${rule}-older" boolean-op="or" score="0">
      <expression id="${rule}-unknown" attribute="${attribute}" operation="not_defined"/>
      <expression id="${rule}-less" attribute="${attribute}" operation="lt" type="number" value="${claim.generation}"/>
    </rule>
  </rule>
</rsc_location>`;
}

/** What finds this very claim and no other: it is deleted only as the one that was seen. */
export function claimPath(resource: string, claim: Claim): string {
  return `//rsc_location[@id='${claimId(resource)}' and rule/@id='${ruleId(resource, claim)}']`;
}

/** @returns the claim in the CIB's constraints; undefined: there is none; null: there is one, but not of our making. */
export function parseClaim(resource: string, constraints: Element): Claim | null | undefined {
  const id = claimId(resource);
  const found = descendants(constraints, 'rsc_location').find((one) => one.attributes.get('id') === id);
  if (!found) return undefined;
  const [rule] = found.children;
  const [, generation, engine_id] =
    /-(\d{1,15})-([0-9a-f-]{36})$/.exec(rule?.attributes.get('id') ?? '') ?? [];
  const owner = rule?.children.find((one) => one.attributes.get('attribute') === '#uname');
  const name = owner?.attributes.get('value');
  if (generation === undefined || engine_id === undefined || name === undefined) return null;
  return { owner: name, generation: Number(generation), engine_id };
}

export function sameClaim(one: Claim, other: Claim): boolean {
  return (
    one.owner === other.owner && one.generation === other.generation && one.engine_id === other.engine_id
  );
}

function escape(text: string): string {
  return text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
