// Just enough XML to read what Pacemaker's tools print: elements and attributes, no text.

export interface Element {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly Element[];
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function decoded(text: string): string {
  return text.replace(
    /&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi,
    (all, decimal?: string, hex?: string, name?: string) => {
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      return ENTITIES[name ?? ''] ?? all;
    },
  );
}

/** Parses a document. Throws when its tags do not match. */
export function parseXml(text: string): Element {
  interface Open {
    name: string;
    attributes: Map<string, string>;
    children: Element[];
  }
  const root: Open = { name: '', attributes: new Map(), children: [] };
  const open = [root];
  for (const tag of text.matchAll(
    /<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[\w.:-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>/g,
  )) {
    const [, closing, name = '', attributes = '', empty] = tag;
    if (closing === '/') {
      const closed = open.pop();
      if (closed?.name !== name) throw new Error(`</${name}> closes <${closed?.name ?? ''}>`);
      continue;
    }
    const pairs = [...attributes.matchAll(/([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g)];
    const element = {
      name,
      attributes: new Map(
        pairs.map(([, key = '', double, single]) => [key, decoded(double ?? single ?? '')]),
      ),
      children: [],
    };
    open.at(-1)?.children.push(element);
    if (empty !== '/') open.push(element);
  }
  const [document] = root.children;
  if (!document || open.length !== 1) throw new Error('the document does not end');
  return document;
}

/** Every element called `name`, below `element` at any depth, in the document's order. */
export function descendants(element: Element, name: string): Element[] {
  return element.children.flatMap((child) => [
    ...(child.name === name ? [child] : []),
    ...descendants(child, name),
  ]);
}
