/** Everything that can go wrong in a way that a person must read. The set is closed: each code has one OCF exit code. */
export const errorCodes = [
  /** An OCF parameter is wrong on every node. */
  'bad-parameter',
  /** The VM's config file is wrong or missing on this node. */
  'bad-config',
  /** A file, program or ability of the host is missing. */
  'missing-requirement',
  /** Needs root. */
  'not-permitted',
  /** state.json cannot be read, trusted or written. */
  'state-unusable',
  /** The replica, the peer or the rules say no. */
  'refused',
  /** Nothing runs here. */
  'not-running',
  /** The engine failed, or ended. */
  'engine-failed',
  /** The other end of a socket said something that is not the protocol. */
  'protocol',
  /** An answer did not come in time. */
  'timeout',
  /** A process outlived SIGKILL. */
  'survivor',
  /** An action or command that does not exist. */
  'unknown-command',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** A failure that a person reads: one sentence that names what is wrong and what to do. Anything else is a bug. */
export class AgentError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
  }
}

/** Longest piece of somebody else's text that a sentence repeats, characters. */
const quoteMax = 200;

/** @returns what somebody else wrote, short enough to be a part of a sentence: the rest of which says what to do about it. */
export function quote(text: string): string {
  return text.length <= quoteMax ? text : `${text.slice(0, quoteMax)}… (${text.length} characters)`;
}

/** @returns the error's sentence; a thing thrown that is no Error is shown as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** @returns the code of a system error (`ENOENT`), or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** Whatever was thrown, as an AgentError: the cause stays chained. */
export function toAgentError(error: unknown, code: ErrorCode): AgentError {
  return error instanceof AgentError ? error : new AgentError(code, messageOf(error), { cause: error });
}
