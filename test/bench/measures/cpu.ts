// A guest that only computes, with an idle network.
import { compute } from '../loads.js';
import { alternate } from '../rounds.js';
import type { GuestMeasure } from './measure.js';

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
