import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCodeOf } from './error.js';
import { limits } from './limits.js';

/** A pid alone may be anybody's by the time it is used; with its start time it is one process or none. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat, proc(5). */
  readonly start_time: number;
}

interface Stat {
  readonly state: string;
  readonly start_time: number;
  readonly threads: number;
}

function readStat(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The command name in field 2 may hold spaces and brackets: count from its last bracket.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', start_time: Number(fields[19]), threads: Number(fields[17]) };
}

/** @returns undefined when no such process exists (a zombie has ended and does not count). */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat && !hasEnded(stat) ? { pid, start_time: stat.start_time } : undefined;
}

/**
 * A killed process shows as a zombie as soon as its first thread has ended; the others may still be at work, with its
 * files, locks and memory. num_threads (proc(5)) falls to one when they have given all of it up.
 */
function hasEnded(stat: Stat): boolean {
  return (stat.state === 'Z' && stat.threads <= 1) || stat.state === 'X';
}

export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  return stat?.start_time === identity.start_time && !hasEnded(stat);
}

/** SIGKILL to exactly this process, which also ends one that is stopped. */
function kill(identity: ProcessIdentity): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch (error) {
    if (systemCodeOf(error) !== 'ESRCH') throw error;
  }
}

/** @returns those that are still alive when the time is over. */
export async function awaitEnd(
  identities: readonly ProcessIdentity[],
  timeoutMs: number,
): Promise<readonly ProcessIdentity[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const alive = identities.filter(isAlive);
    if (alive.length === 0 || Date.now() >= deadline) return alive;
    await sleep(limits.poll_ms);
  }
}

/** @returns those that outlived SIGKILL by this time. */
export function killAndWait(
  identities: readonly ProcessIdentity[],
  timeoutMs: number = limits.kill_ms,
): Promise<readonly ProcessIdentity[]> {
  identities.forEach(kill);
  return awaitEnd(identities, timeoutMs);
}
