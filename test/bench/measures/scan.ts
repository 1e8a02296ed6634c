// The search for written pages in 16 GiB of which little is written.
import { scanOf } from '../yard/native.js';
import { repeated, type OwnMeasure } from './measure.js';

export const scan: OwnMeasure = {
  name: 'scan',
  title: 'the scan of 16 GiB, mostly cold',
  on: 'nothing',
  async run(yard, settings, findings) {
    const program = await scanOf(yard, settings);
    try {
      const rounds = await repeated(settings.rounds, () => program.round());
      findings.alone(
        'scan of 16 GiB, 200 pages written: p99',
        'ms',
        rounds.map(({ whole }) => whole.p99_ms),
      );
      const found = findings.alone(
        'scan of 16 GiB, 200 pages written: p50',
        'ms',
        rounds.map(({ whole }) => whole.p50_ms),
      );
      findings.figure('scan_16gib_ms', found.median);
    } finally {
      await program.end();
    }
  },
};
