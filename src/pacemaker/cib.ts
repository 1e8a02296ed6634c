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
