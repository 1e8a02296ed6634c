// What a checkpoint costs the guest, and the least that it can cost: the same guest under the same load, whose outputs wait
// for a stop, a save and a cont by the same monitor, and for nothing else. Each question has the guest write a number of
// pages and then answer: one checkpoint.
import { SERVICE_PORT, ask } from '../loads.js';
import { pauseRow, type Pauses } from '../report/checkpoints.js';
import type { Window } from '../yard/pair.js';
import { SMALL } from '../yard/machine.js';
import { floorOf } from '../yard/native.js';
import type { GuestMeasure } from './measure.js';

/** Dirty pages of a checkpoint; a few below 64, because an answer costs some more or less by itself. */
const FEW = 52;
const MANY = 2500;

export const pause: GuestMeasure = {
  name: 'pause',
  title: 'pause by part, and its floor',
  on: 'small',
  async run({ yard, pair }, settings, findings) {
    const asking = (address: string, pages: number) => () =>
      ask(yard, settings, { address, port: SERVICE_PORT, connections: 1, question: `pages ${pages}` });
    const answering = async (pages: number): Promise<Window> =>
      (await pair.during(asking(pair.address, pages))).window;
    // Pages that an answer costs by itself.
    const own = (await answering(0)).status.dirty_pages?.p50 ?? 0;
    const more = (pages: number): number => Math.max(0, pages - own);
    const floors: Pauses[] = [];
    const few: Window[] = [];
    const many: Window[] = [];
    const floor = await floorOf(yard, SMALL);
    try {
      for (let round = 0; round < settings.rounds; round += 1) {
        floors.push(await floor.during(asking(floor.address, more(FEW))));
        few.push(await answering(more(FEW)));
        many.push(await answering(more(MANY)));
      }
    } finally {
      await floor.end();
    }
    const least = pauseRow('floor: stop, save, cont', floors);
    findings.pauses.push(least);
    findings.figure('floor_p50_ms', least.whole.p50_ms);
    const small = findings.load('answers, 64 pages', few);
    findings.figure('pause_64_p50_ms', small.pause.whole.p50_ms);
    findings.figure('encode_ratio', small.checkpoint.encode_ratio);
    const large = findings.load('answers, 2,500 pages', many);
    findings.figure('pause_2500_p50_ms', large.pause.whole.p50_ms);
  },
};
