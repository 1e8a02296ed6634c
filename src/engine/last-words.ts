import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';

/** Exit codes of the engine. */
const exitSentences: Readonly<Record<number, string>> = {
  0: 'it was stopped',
  2: 'it refused its spec',
  3: 'the host lacks something it needs',
  4: 'the guest was lost',
  70: 'internal error',
};

interface LastWords {
  readonly code: string | undefined;
  readonly message: string;
}

/** Bytes in the log now; 0 when there is none. */
export function logSize(log: string): number {
  return statSync(log, { throwIfNoEntry: false })?.size ?? 0;
}

/** The engine's last line of log at level ERROR since `offset` bytes, which is its own account of its end. */
export function readLastWords(log: string, offset: number): LastWords | undefined {
  let text: string;
  try {
    const file = openSync(log, 'r');
    try {
      const { size } = fstatSync(file);
      // A log that is shorter than it was has been rotated since.
      const start = Math.max(size < offset ? 0 : offset, size - limits.last_words_bytes);
      const buffer = Buffer.alloc(Math.max(size - start, 0));
      readSync(file, buffer, 0, buffer.length, start);
      text = buffer.toString('utf8');
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
  for (const line of text.trimEnd().split('\n').reverse()) {
    try {
      const entry = JSON.parse(line) as unknown;
      if (typeof entry !== 'object' || entry === null) continue;
      const { level, message, code } = entry as { level?: unknown; message?: unknown; code?: unknown };
      if (level === 'ERROR' && typeof message === 'string') {
        return { message, code: typeof code === 'string' ? code : undefined };
      }
    } catch {
      // A line of QEMU's or of a panic: not the engine's own account.
    }
  }
  return undefined;
}

/** What an engine's end means. A port that is taken may be free at the next try; other requirements stay missing. */
export function engineEndError(
  exit: { readonly exitCode?: number | undefined; readonly signal?: string | undefined },
  words: LastWords | undefined,
): AgentError {
  const how = describeEnd(exit);
  const message = words?.message ?? `the engine ended (${how}) and left no reason in its log`;
  if (exit.exitCode === 2) return new AgentError('bad-config', message);
  if (exit.exitCode === 3 && words?.code !== 'port-taken')
    return new AgentError('missing-requirement', message);
  return new AgentError('engine-failed', message);
}

function describeEnd(exit: {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
}): string {
  if (exit.signal !== undefined) return `signal ${exit.signal}`;
  if (exit.exitCode === undefined) return 'its exit code went to an earlier supervisor';
  return `exit code ${exit.exitCode}: ${exitSentences[exit.exitCode] ?? 'not a code of the engine'}`;
}
