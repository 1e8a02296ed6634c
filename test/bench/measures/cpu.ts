// A guest that only computes, with an idle network; as it is kept in step by default, and every 20 ms.
import { bulk, compute } from '../loads.js';
import { alternate } from '../rounds.js';
import type { GuestMeasure } from './measure.js';

const INTERVAL_MS = 20;

export const cpu: GuestMeasure = {
  name: 'cpu',
  title: 'computing with an idle network',
  on: 'small',
  async run({ yard, subjects }, settings, findings) {
    const found = await alternate(settings.rounds, subjects, ({ address }) =>
      compute(yard, settings, address),
    );
    findings.figure('cpu_ratio', findings.compared('computing, idle network', 'rounds/s', found).median);
  },
};

export const interval: GuestMeasure = {
  name: 'interval',
  title: `computing and bulk transfer, a checkpoint every ${INTERVAL_MS} ms`,
  on: 'small',
  async run({ yard, pair, plain, guarded }, settings, findings) {
    const { control } = pair.primary;
    const before = (await control.status()).tuning;
    await control.configure({ sync_mode: 'interval', interval_ms: INTERVAL_MS });
    try {
      const what = `every ${INTERVAL_MS} ms`;
      const found = await alternate(settings.rounds, [plain, guarded], ({ address }) =>
        compute(yard, settings, address),
      );
      findings.figure(
        'interval20_cpu_ratio',
        findings.compared(`${what}: computing`, 'rounds/s', found).median,
      );
      for (const way of ['send', 'receive'] as const) {
        const rates = await alternate(settings.rounds, [plain, guarded], ({ address }) =>
          bulk(yard, settings, address, way),
        );
        findings.compared(`${what}: bulk, client ${way}s`, 'MB/s', rates);
      }
    } finally {
      await control.configure(before);
    }
  },
};
