import { quote } from '../common/error.js';
import { printable } from '../common/printable.js';
import type { Element } from '../common/xml.js';

/** What to do about something that a description may not have. */
export interface Remedy {
  readonly write: string;
  /** Somebody has to decide: the guest would lose what it may need. Otherwise it can just be taken away. */
  readonly isLoss: boolean;
}

/** By path below `domain`. */
export type Remedies = Readonly<Record<string, Remedy>>;

/** What is wrong with a description, where, and what to write instead. */
export interface Complaint {
  readonly line: number;
  readonly text: string;
  /** Mends it, where that can be done without asking anybody. */
  readonly mend?: () => void;
}

/** Characters; the longest that quotes nothing long is far below. */
const SENTENCE_MAX = 600;

const UNKNOWN: Remedy = { write: 'remove it', isLoss: true };

interface Sheet {
  readonly remedies: Remedies;
  readonly complaints: Complaint[];
}

/** Ends the reading of an element about which a complaint has been made; never seen outside. */
class Refused extends Error {}

/**
 * An element that is being read. Whoever reads it takes what it knows; what is left when it is done is refused by name
 * and line, so that nothing of a description is ever ignored in silence. One complaint does not keep others from being made.
 */
export class Place {
  readonly #element: Element;
  readonly #path: readonly string[];
  readonly #sheet: Sheet;
  readonly #taken = new Set<string>();
  readonly #elements = new Set<Element>();
  #textTaken = false;

  private constructor(element: Element, path: readonly string[], sheet: Sheet) {
    this.#element = element;
    this.#path = path;
    this.#sheet = sheet;
  }

  /** Reads a whole document. @returns what it says, or in the order of lines what is wrong with it. */
  static read<T>(
    root: Element,
    remedies: Remedies,
    work: (place: Place) => T,
  ): { readonly value: T } | { readonly complaints: readonly Complaint[] } {
    const sheet: Sheet = { remedies, complaints: [] };
    const read = attempt(() => new Place(root, [], sheet).#done(work));
    if (read && sheet.complaints.length === 0) return read;
    return { complaints: sheet.complaints.toSorted((one, other) => one.line - other.line) };
  }

  get name(): string {
    return this.#element.name;
  }

  /** @returns the attribute, if it is there. */
  attribute(name: string): string | undefined {
    this.#taken.add(name);
    return this.#element.attributes.get(name);
  }

  /** A complaint is made if it is not there. */
  required(name: string, example: string): string {
    const value = this.attribute(name);
    if (value === undefined || value === '')
      return this.refuse(`lacks the attribute ${name}: write ${name}='${example}'`);
    return value;
  }

  /** Takes an attribute that says nothing of the machine, or what it is anyway. */
  skip(...names: readonly string[]): void {
    for (const name of names) this.#taken.add(name);
  }

  /** An attribute that has one of these values, the first of which is what it is without it. */
  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.attribute(name);
    if (value === undefined) return values[0];
    const known = values.find((one) => one === value);
    if (known !== undefined) return known;
    this.#complainOfAttribute(name, value, `write ${values.map((one) => `'${one}'`).join(' or ')}`);
    throw new Refused();
  }

  /** The text of the element itself. */
  text(): string {
    this.#textTaken = true;
    return this.#element.text;
  }

  /** How many children of this name there are, refused or not. */
  count(name: string): number {
    return this.#named(name).length;
  }

  /** Reads all children of this name; those that are refused are left out. */
  all<T>(name: string, work: (place: Place) => T): T[] {
    return this.#read(name, work).flatMap((read) => (read ? [read.value] : []));
  }

  /** Reads the child of this name, if there is one that is not refused. A second one is. */
  one<T>(name: string, work: (place: Place) => T): T | undefined {
    return this.#first(name, work)?.value;
  }

  /** The same of a child that has to be there: [`whole`] is to be asked about what comes of it. */
  needed<T>(name: string, example: string, work: (place: Place) => T): T | undefined {
    if (this.#named(name).length === 0)
      this.#complain(this.#element.line, `<${this.#element.name}> lacks <${name}>: add ${example}`);
    return this.one(name, work);
  }

  /** Ends the reading of the element unless all these parts are there: the complaint has been made. */
  whole<T extends object>(parts: T): { readonly [K in keyof T]: Exclude<T[K], undefined> } {
    if (Object.values(parts).includes(undefined)) {
      this.#judgeRest();
      throw new Refused();
    }
    return parts as { readonly [K in keyof T]: Exclude<T[K], undefined> };
  }

  #named(name: string): Element[] {
    return this.#element.children.filter((child) => child.name === name);
  }

  #first<T>(name: string, work: (place: Place) => T): { readonly value: T } | undefined {
    const [first, second] = [this.#read(name, work)[0], this.#named(name)[1]];
    if (second) this.#complain(second.line, `<${name}> is there twice: remove one`);
    return first;
  }

  #read<T>(name: string, work: (place: Place) => T): ({ readonly value: T } | undefined)[] {
    return this.#named(name).map((child) => {
      this.#elements.add(child);
      return attempt(() => new Place(child, [...this.#path, name], this.#sheet).#done(work));
    });
  }

  /** Takes children that say nothing of the machine, with all that is in them. */
  skipAll(...names: readonly string[]): void {
    for (const child of this.#element.children) if (names.includes(child.name)) this.#elements.add(child);
  }

  /** Complains of the element, `<name> ${why}`. */
  complain(why: string): void {
    this.#complain(this.#element.line, `<${shown(this.#element.name)}> ${why}`);
  }

  /** The same, and ends its reading. */
  refuse(why: string): never {
    this.complain(why);
    throw new Refused();
  }

  /** The same of an element that can just as well not be there. */
  refuseSpare(why: string): never {
    const element = this.#element;
    this.#complain(element.line, `<${shown(element.name)}> ${why}`, () => {
      element.remove();
    });
    throw new Refused();
  }

  /** The same of one that an attribute alone puts in order. */
  refuseUnless(name: string, value: string, why: string): never {
    const element = this.#element;
    this.#complain(element.line, `<${shown(element.name)}> ${why}`, () => {
      element.setAttribute(name, value);
      for (const child of element.children) child.remove();
    });
    throw new Refused();
  }

  /** The same of one whose attribute need only be another. */
  refuseAttribute(name: string, value: string, why: string): never {
    const element = this.#element;
    this.#complain(element.line, `<${shown(element.name)}> ${why}`, () => {
      element.setAttribute(name, value);
    });
    throw new Refused();
  }

  /** The same of its text. */
  refuseText(expected: string): never {
    return this.refuse(`is "${quote(this.#element.text)}": ${expected}`);
  }

  #done<T>(work: (place: Place) => T): T {
    const result = work(this);
    this.#judgeRest();
    return result;
  }

  /** Complains of what nobody has taken. */
  #judgeRest(): void {
    const element = this.#element;
    for (const [name, value] of element.attributes) {
      if (this.#taken.has(name)) continue;
      const { write, isLoss } = this.#remedy(`@${name}`);
      const drop = (): void => {
        element.removeAttribute(name);
      };
      this.#complainOfAttribute(name, value, write, isLoss ? undefined : drop);
    }
    const where = this.#path.length === 0 ? '' : ` in <${shown(this.#element.name)}>`;
    for (const child of element.children.filter((one) => !this.#elements.has(one))) {
      const { write, isLoss } = this.#remedy(child.name);
      const drop = (): void => {
        child.remove();
      };
      this.#complain(
        child.line,
        `<${shown(child.name)}>${where} is not supported: ${write}`,
        isLoss ? undefined : drop,
      );
    }
    if (!this.#textTaken && this.#element.text !== '')
      this.#complain(
        this.#element.line,
        `<${shown(this.#element.name)}> has text ("${quote(this.#element.text)}"): remove it`,
      );
  }

  #complainOfAttribute(name: string, value: string, write: string, mend?: () => void): void {
    this.#complain(
      this.#element.line,
      `attribute ${shown(name)}='${quote(value)}' of <${shown(this.#element.name)}> is not supported: ${write}`,
      mend,
    );
  }

  #remedy(last: string): Remedy {
    const path = [...this.#path, last].join('/');
    return Object.hasOwn(this.#sheet.remedies, path) ? (this.#sheet.remedies[path] ?? UNKNOWN) : UNKNOWN;
  }

  #complain(line: number, text: string, mend?: () => void): void {
    const said = bounded(text);
    this.#sheet.complaints.push(mend ? { line, text: said, mend } : { line, text: said });
  }
}

/** A name may be as long as a file. */
function shown(name: string): string {
  return name.length <= 60 ? name : `${name.slice(0, 60)}…`;
}

/** What a sentence quotes may be long, or more than a line: its beginning and its end, which says what to write, are kept. */
function bounded(text: string): string {
  const line = printable(text);
  return line.length <= SENTENCE_MAX
    ? line
    : `${line.slice(0, SENTENCE_MAX / 2)}…${line.slice(-SENTENCE_MAX / 2)}`;
}

/** @returns nothing if it was refused. */
function attempt<T>(work: () => T): { readonly value: T } | undefined {
  try {
    return { value: work() };
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  }
}
