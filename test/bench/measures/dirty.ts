// A guest that writes pages at a steady rate, with an idle network.
import { setTimeout as sleep } from 'node:timers/promises';
import { tell } from '../loads.js';
import { repeated, type GuestMeasure } from './measure.js';

const RATES = [1000, 10_000, 50_000] as const;

export const dirty: GuestMeasure = {
  name: 'dirty',
  title: 'a guest that writes 1,000, 10,000 and 50,000 pages per second',
  on: 'small',
  async run({ pair, yard }, settings, findings) {
    for (const rate of RATES) {
      await tell(yard, pair.address, [`dirty ${rate}`]);
      await sleep(settings.warm_up_ms);
      const windows = await repeated(
        settings.rounds,
        async () => (await pair.during(() => sleep(settings.measured_ms))).window,
      );
      await tell(yard, pair.address, ['dirty 0']);
      findings.load(`writes ${rate} pages/s`, windows);
    }
  },
};
