// How fast a replica is built: the guest's memory is full of bytes that no page has twice, its secondary is lost and comes
// back, and what its network has received from the first page to the complete replica is counted.
import { tell } from '../loads.js';
import { repeated, type GuestMeasure } from './measure.js';

/** Of 1 GiB; the rest is the guest's own programs and its reserve. */
const FILL_MIB = 640;

export const baseline: GuestMeasure = {
  name: 'baseline',
  title: 'the copy of a guest of 1 GiB to a new secondary',
  on: 'debian',
  async run({ yard, pair }, settings, findings) {
    const [filled] = await tell(yard, pair.address, [`fill ${FILL_MIB}`]);
    if (filled?.number !== FILL_MIB) throw new Error(`the guest has no ${FILL_MIB} MiB to fill`);
    const rates = await repeated(settings.heavy_rounds, async () => {
      await pair.killSecondary();
      const host = yard.host(pair.primary.host === 'n1' ? 'n2' : 'n1');
      const received = async (): Promise<number> =>
        Number(await host.run(['cat', '/sys/class/net/sync/statistics/rx_bytes']));
      const before = await received();
      const secondary = await pair.startSecondary();
      await pair.primary.reached('protected');
      const bytes = (await received()) - before;
      const times_ms = await secondary.stateTimes_ms();
      const elapsed_ms = (times_ms.get('InSync') ?? NaN) - (times_ms.get('Receiving') ?? NaN);
      return bytes / elapsed_ms / 1e6;
    });
    findings.figure('baseline_gbps', findings.alone('baseline copy', 'GB/s', rates).median);
  },
};
