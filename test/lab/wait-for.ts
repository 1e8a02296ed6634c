// Waiting for a condition, never for a time.
import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  timeout_ms: number;
  interval_ms?: number;
}

/**
 * Asks `probe` until it gives something other than undefined or false. What it throws counts as "not yet"; when the
 * time is over the last such error becomes the cause of the one thrown.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  { timeout_ms, interval_ms = 100 }: WaitOptions,
): Promise<T> {
  const deadline_ms = Date.now() + timeout_ms;
  let cause: unknown;
  for (;;) {
    try {
      const result = await probe();
      if (result !== undefined && result !== false) return result;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (Date.now() >= deadline_ms) throw new Error(`waited ${timeout_ms} ms in vain: ${what}`, { cause });
    await sleep(interval_ms);
  }
}
