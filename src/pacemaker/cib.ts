import { AgentError, quote } from '../common/error.js';
import { XmlError, descendants, parseXml, type Element } from '../common/xml.js';

/** Reads a part of the CIB. @throws AgentError missing-requirement: it is no XML. */
export function parseCib(output: string): Element {
  try {
    return parseXml(output);
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    throw new AgentError('missing-requirement', `cibadmin printed what is no CIB: ${quote(error.message)}`, {
      cause: error,
    });
  }
}

/** Pacemaker's words for no. */
const NO: readonly string[] = ['false', 'no', 'off', 'n', '0'];

/** Pacemaker's words for yes. */
const YES: readonly string[] = ['true', 'yes', 'on', 'y', '1'];

export function isYes(value: string | undefined): boolean {
  return YES.includes((value ?? '').toLowerCase());
}

/** Whether the cluster's section of properties turns fencing off. Since Pacemaker 3.0 the property has a second name. */
export function isUnfenced(properties: Element): boolean {
  return descendants(properties, 'nvpair').some(({ attributes }) => {
    const name = attributes.get('name');
    const isIt = name === 'stonith-enabled' || name === 'fencing-enabled';
    return isIt && NO.includes((attributes.get('value') ?? '').toLowerCase());
  });
}

/** The names of all nodes, from the CIB's section of nodes. */
export function namesOfNodes(nodes: Element): string[] {
  return descendants(nodes, 'node').flatMap(({ attributes }) => attributes.get('uname') ?? []);
}

/** The value of a permanent attribute, by node, from the CIB's section of nodes. */
export function attributesOfNodes(nodes: Element, name: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const node of descendants(nodes, 'node')) {
    const pair = descendants(node, 'nvpair').find((one) => one.attributes.get('name') === name);
    const [uname, value] = [node.attributes.get('uname'), pair?.attributes.get('value')];
    if (uname !== undefined && value !== undefined) found.set(uname, value);
  }
  return found;
}
