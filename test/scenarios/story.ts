// What stories that share a lab have in common: the lab ends with the last of them and keeps its logs if one failed, each
// begins with a protected guest, and no answer of its traffic may be lost or repeated.
import { afterAll, beforeEach, expect, onTestFailed, onTestFinished } from 'vitest';
import type { ProtectedGuest } from './protected-guest.js';
import { Traffic } from '../lab/traffic/traffic.js';

/** What a connection looks like on which nothing went wrong. */
export const CLEAN = { answers_lost: 0, answers_repeated: 0, garbage: [], broken: undefined };

/** To be called where the stories of a file are told; `guest` is there once its lab is up. */
export function eachBeginsProtected(guest: () => ProtectedGuest): void {
  let failed = false;
  afterAll(async () => {
    const { lab } = guest();
    await lab.down({ keepLogs: failed });
    if (failed) console.error(`the hosts' logs are in ${lab.run}`);
  });
  beforeEach(async () => {
    onTestFailed(() => {
      failed = true;
    });
    await guest().protected();
  });
}

/** Traffic that flows, ends with its story and says then that nothing was lost: the guest's counter is one for all. */
export async function startTraffic({ lab }: ProtectedGuest): Promise<Traffic> {
  const traffic = await Traffic.start(lab);
  onTestFinished(async () => {
    expect(await traffic.stop()).toMatchObject(CLEAN);
  });
  await traffic.answered(50);
  return traffic;
}
