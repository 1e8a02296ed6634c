// The host that runs a busy guest dies; from the order to promote the replica to the guest's first packet on the network.
import type { Writable } from 'node:stream';
import * as v from 'valibot';
import { ECHO_PORT } from '../loads.js';
import { LineReader } from '../yard/line-reader.js';
import type { Yard } from '../yard/yard.js';
import { repeated, type GuestMeasure } from './measure.js';

const seen = v.object({ at_us: v.number() });
/** The load outlives every wait of a round. */
const LOAD_MS = 600_000;

/** Watches for the guest's packets on the client's interface. */
class Watcher {
  readonly #lines: LineReader;
  readonly #input: Writable;

  private constructor(lines: LineReader, input: Writable) {
    this.#lines = lines;
    this.#input = input;
  }

  static async start(yard: Yard, mac: string): Promise<Watcher> {
    const { child } = await yard.client.start([yard.program('await'), 'eth0', mac]);
    return new Watcher(new LineReader(child.stdout, 'the guest sends nothing'), child.stdin);
  }

  /** From now on; resolves when it watches, with the time of the first packet to come (us, monotonic clock). */
  async watch(): Promise<{ readonly first: Promise<number> }> {
    this.#input.write('\n');
    await this.#lines.next();
    return { first: this.#lines.next().then((line) => v.parse(seen, JSON.parse(line)).at_us) };
  }

  end(): void {
    this.#input.end();
  }
}

export const promote: GuestMeasure = {
  name: 'promote',
  title: "failover: from the order to the guest's first packet",
  on: 'small',
  async run({ yard, pair }, settings, findings) {
    const watcher = await Watcher.start(yard, pair.mac);
    try {
      const loads: number[] = [];
      const times = await repeated(settings.heavy_rounds, async () => {
        // One connection always asks: there is something to answer when the guest wakes up.
        const arguments_ = [pair.address, ECHO_PORT, 1, 0, LOAD_MS, 'are you there?'].map(String);
        const { child } = await yard.client.start([yard.program('ask'), ...arguments_]);
        try {
          await pair.primary.reached('protected');
          const survivor = await pair.loseHost();
          await survivor.reached('in-sync');
          const { first } = await watcher.watch();
          const ordered = Number(await pair.failOver()) / 1000;
          loads.push(((await survivor.status()).promotion_us?.total ?? NaN) / 1000);
          return ((await first) - ordered) / 1000;
        } finally {
          child.kill();
          await child;
          await pair.protect();
        }
      });
      findings.alone('promotion, as the engine says', 'ms', loads);
      const found = findings.alone("promote order to the guest's first packet", 'ms', times);
      findings.figure('promote_to_packet_ms', found.median);
    } finally {
      watcher.end();
    }
  },
};
