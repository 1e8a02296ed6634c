import {
  DOMParser,
  XMLSerializer,
  type Document as Dom,
  type Element as Node,
  type Node as AnyNode,
} from '@xmldom/xmldom';
import { messageOf } from './error.js';

/** An element of a document. Lines count from 1. */
export interface Element {
  /** Its prefix is the one that the reader gave to its namespace, whatever the document calls it. */
  readonly name: string;
  readonly line: number;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly Element[];
  /** Its own text, without that of its children and without white space around it. */
  readonly text: string;
  /** Takes it out of its document, with the white space before it. */
  remove(): void;
  removeAttribute(name: string): void;
  setAttribute(name: string, value: string): void;
}

/** A document that can be changed by way of its elements, and written again. */
export interface XmlDocument {
  readonly root: Element;
  /** What its elements say now. */
  toString(): string;
}

/** Why a text is no document that we read. */
export class XmlError extends Error {
  readonly line: number;
  /** What to do about it, if it is well-formed. */
  readonly remedy: string | undefined;

  constructor(line: number, message: string, options: ErrorOptions & { readonly remedy?: string } = {}) {
    super(message, options);
    // Of an empty document nobody knows one.
    this.line = Math.max(1, line);
    this.remedy = options.remedy;
  }
}

/** Elements within each other; the deepest that we are given have a dozen. */
const DEPTH_MAX = 24;
const ELEMENT = 1;
const TEXT = 3;
const CDATA = 4;
const INSTRUCTION = 7;

/** Names for namespaces, by their URI. */
export type Prefixes = Readonly<Record<string, string>>;

function nameOf(node: Node, prefixes: Prefixes): string {
  const [uri, local] = [node.namespaceURI ?? '', node.localName ?? ''];
  if (Object.hasOwn(prefixes, uri)) return `${prefixes[uri] ?? ''}:${local}`;
  // A document may give a prefix that the reader knows to a namespace that it does not.
  return Object.values(prefixes).includes(node.prefix ?? '') ? `{${uri}}${local}` : node.nodeName;
}

/** Which prefixes a document declares says nothing; that all of it is in a namespace that nobody knows does. */
function isDeclaration({ name, value }: { name: string; value: string }, prefixes: Prefixes): boolean {
  return name.startsWith('xmlns:') || (name === 'xmlns' && (value === '' || Object.hasOwn(prefixes, value)));
}

/** @throws XmlError: there is a processing instruction, which somebody meant for a program. */
function refuseInstructions(nodes: Iterable<AnyNode>): void {
  for (const { nodeType, nodeName, lineNumber } of nodes) {
    // The declaration <?xml …?> is told as one; the parser takes it at the beginning only.
    if (nodeType !== INSTRUCTION || nodeName === 'xml') continue;
    throw new XmlError(lineNumber ?? 1, `it has a processing instruction (<?${nodeName} …?>)`, {
      remedy: 'remove it',
    });
  }
}

function isElement(node: AnyNode): node is Node {
  return node.nodeType === ELEMENT;
}

function elementOf(node: Node, prefixes: Prefixes, depth: number): Element {
  const line = node.lineNumber ?? 1;
  if (depth > DEPTH_MAX) throw new XmlError(line, `more than ${DEPTH_MAX} elements within each other`);
  const inside = [...node.childNodes];
  refuseInstructions(inside);
  const attributes = [...node.attributes].filter((attribute) => !isDeclaration(attribute, prefixes));
  return {
    name: nameOf(node, prefixes),
    line,
    attributes: new Map(attributes.map(({ name, value }) => [name, value])),
    children: inside.filter(isElement).map((child) => elementOf(child, prefixes, depth + 1)),
    text: inside
      .filter(({ nodeType }) => nodeType === TEXT || nodeType === CDATA)
      .map(({ nodeValue }) => nodeValue ?? '')
      .join('')
      .trim(),
    remove() {
      const before = node.previousSibling;
      if (before?.nodeType === TEXT && (before.nodeValue ?? '').trim() === '')
        node.parentNode?.removeChild(before);
      node.parentNode?.removeChild(node);
    },
    removeAttribute(name) {
      node.removeAttribute(name);
    },
    setAttribute(name, value) {
      node.setAttribute(name, value);
    },
  };
}

function parseDom(text: string): Dom {
  let fault: XmlError | undefined;
  try {
    return new DOMParser({
      onError: (_level, message, context: { locator?: { lineNumber?: number } } | undefined) => {
        fault ??= new XmlError(context?.locator?.lineNumber ?? 1, message);
        throw fault;
      },
    }).parseFromString(text, 'text/xml');
  } catch (error) {
    throw fault ?? new XmlError(1, messageOf(error), { cause: error });
  }
}

/** Some editors mark a text as UTF-8 by it. */
const BYTE_ORDER_MARK = /^\uFEFF/;

/**
 * Reads a document. Entities that are not XML's own five are refused, and with them everything that a document type could
 * declare: nothing is expanded, nothing is fetched.
 *
 * @throws XmlError: it is not well-formed, or has a document type or a processing instruction.
 */
export function parseDocument(text: string, prefixes: Prefixes = {}): XmlDocument {
  const document = parseDom(text.replace(BYTE_ORDER_MARK, ''));
  if (document.doctype !== null)
    throw new XmlError(document.doctype.lineNumber ?? 1, 'it has a document type (<!DOCTYPE …>)', {
      remedy: 'remove it',
    });
  refuseInstructions(document.childNodes);
  if (document.documentElement === null) throw new XmlError(1, 'it is empty');
  return {
    root: elementOf(document.documentElement, prefixes, 1),
    toString: () => `${new XMLSerializer().serializeToString(document).trimEnd()}\n`,
  };
}

/** The same, of one that is only read. */
export function parseXml(text: string, prefixes: Prefixes = {}): Element {
  return parseDocument(text, prefixes).root;
}

/** Every element called `name`, below `element` at any depth, in the document's order. */
export function descendants(element: Element, name: string): Element[] {
  return element.children.flatMap((child) => [
    ...(child.name === name ? [child] : []),
    ...descendants(child, name),
  ]);
}
