/** What became of a value; a complaint is the rest of "parameter NAME ...". */
export type Parsed<T> = { readonly value: T } | { readonly complaint: string };

/** How the values of a parameter are written. */
export interface Kind<T> {
  /** The type of its content in the metadata: OCF 1.1 has no others but `select`, which ocf-tester's DTD does not know. */
  readonly type: 'string' | 'integer' | 'boolean';
  /** What it is to a person, if the type does not say it. */
  readonly noun?: string;
  /** All that it may be, if that can be listed. */
  readonly words?: readonly T[];
  parse(text: string): Parsed<T>;
}

/** Values come from people: a long one is shown in part. */
function shown(text: string): string {
  return text.length <= 80 ? `"${text}"` : `"${text.slice(0, 80)}…"`;
}

function refused(expected: string, text: string): { readonly complaint: string } {
  return { complaint: `must be ${expected}, not ${shown(text)}` };
}

export function path(example: string): Kind<string> {
  return {
    type: 'string',
    parse: (text) =>
      /^\/[^\p{Cc}]{1,1023}$/u.test(text)
        ? { value: text }
        : refused(`an absolute path such as ${example}`, text),
  };
}

/** Paths with spaces between; at most so many. */
export function paths(example: string, most: number): Kind<readonly string[]> {
  return {
    type: 'string',
    parse(text) {
      const value = text.split(/\s+/).filter((one) => one !== '');
      const wrong = value.find((one) => !/^\/[^\p{Cc}]{1,1023}$/u.test(one));
      if (wrong !== undefined)
        return refused(`absolute paths with spaces between, such as ${example}`, wrong);
      return value.length <= most
        ? { value }
        : { complaint: `names ${value.length} scripts: at most ${most}` };
    },
  };
}

export function oneOf<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    type: 'string',
    words,
    parse(text) {
      const value = words.find((word) => word === text);
      return value === undefined ? refused(`one of ${words.join(', ')}`, text) : { value };
    },
  };
}

/** One of the words; of others that people know from elsewhere it says what to do without them. */
export function oneOfKnown<const T extends string>(
  words: readonly T[],
  elsewhere: readonly string[],
  instead: string,
): Kind<T> {
  const kind = oneOf(...words);
  return {
    ...kind,
    parse: (text) => (elsewhere.includes(text) ? { complaint: `is ${text}, ${instead}` } : kind.parse(text)),
  };
}

/** A piece of a host name, or nothing. */
export const hostNamePart: Kind<string> = {
  type: 'string',
  parse: (text) =>
    /^[A-Za-z0-9.-]{0,63}$/.test(text)
      ? { value: text }
      : refused('a piece of a host name such as -sync', text),
};

export function whole(least: number, most: number): Kind<number> {
  return {
    type: 'integer',
    parse(text) {
      const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
      return value >= least && value <= most
        ? { value }
        : refused(`a whole number from ${least} to ${most}`, text);
    },
  };
}

/** As Pacemaker reads them. */
const YES: readonly string[] = ['true', 'yes', 'on', 'y', '1'];
const NO: readonly string[] = ['false', 'no', 'off', 'n', '0'];

export const flag: Kind<boolean> = {
  type: 'boolean',
  parse(text) {
    const word = text.toLowerCase();
    if (YES.includes(word)) return { value: true };
    return NO.includes(word) ? { value: false } : refused('true or false', text);
  },
};

/** Microseconds of Pacemaker's units of time; a number without one is in seconds. */
const UNITS: Readonly<Record<string, number>> = {
  '': 1_000_000,
  us: 1,
  usec: 1,
  ms: 1000,
  msec: 1000,
  s: 1_000_000,
  sec: 1_000_000,
  m: 60_000_000,
  min: 60_000_000,
  h: 3_600_000_000,
  hr: 3_600_000_000,
};

function shownTime(us: number): string {
  if (us === 0) return '0';
  const [name, scale] = (
    [
      ['s', 1_000_000],
      ['ms', 1000],
    ] as const
  ).find(([, one]) => us % one === 0) ?? ['us', 1];
  return `${us / scale}${name}`;
}

/** A time, in microseconds, that is whole in `grain` of them. */
export function time(grain: number, least: number, most: number): Kind<number> {
  const expected = `a time from ${shownTime(least)} to ${shownTime(most)}${grain > 1 ? ` in whole ${grain === 1000 ? 'ms' : 's'}` : ''}`;
  return {
    type: 'string',
    noun: 'time',
    parse(text) {
      const [, digits = '', unit = ''] = /^(\d{1,12})\s*([a-z]*)$/.exec(text) ?? [];
      const scale = digits !== '' && Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
      const value = scale === undefined ? Number.NaN : Number(digits) * scale;
      return value >= least && value <= most && value % grain === 0 ? { value } : refused(expected, text);
    },
  };
}

/** 4, 6, or 0 for what is no address. From a module that is loaded only now: metadata needs this table, and no sockets. */
function isIP(text: string): number {
  return process.getBuiltinModule('node:net').isIP(text);
}

/** Where a node's engine is reached. */
export interface SyncAddress {
  readonly address: string;
  /** If it is not the one of all nodes. */
  readonly port: number | undefined;
}

/** Reads `10.0.0.1`, `10.0.0.1:7900`, `fd00::1` and `[fd00::1]:7900`. */
export function parseSyncAddress(text: string): SyncAddress | undefined {
  if (isIP(text) !== 0) return { address: text, port: undefined };
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? '';
  const port = digits === undefined ? undefined : Number(digits);
  const isRight = isIP(address) === (bracketed === undefined ? 4 : 6);
  return isRight && (port === undefined || (port >= 1 && port <= 65_535)) ? { address, port } : undefined;
}

export type SyncAddresses = ReadonlyMap<string, SyncAddress>;

const EXAMPLE = '"n1:10.0.0.1;n2:10.0.0.2"';

/** Nodes and their addresses, as Pacemaker's pcmk_host_map is written; nothing if they are elsewhere. */
export const syncAddresses: Kind<SyncAddresses | undefined> = {
  type: 'string',
  parse(text) {
    const entries = text.split(/[;,\s]+/).filter((one) => one !== '');
    if (entries.length === 0) return { value: undefined };
    const found = new Map<string, SyncAddress>();
    for (const entry of entries) {
      const [, node, rest = ''] = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,254})[:=](.+)$/.exec(entry) ?? [];
      const address = parseSyncAddress(rest);
      if (node === undefined || address === undefined)
        return refused(`nodes and addresses such as ${EXAMPLE}`, entry);
      if (found.has(node)) return { complaint: `names ${node} twice: remove one` };
      found.set(node, address);
    }
    return found.size >= 2 ? { value: found } : refused(`those of both nodes, such as ${EXAMPLE}`, text);
  },
};
