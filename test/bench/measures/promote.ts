// The host that runs a busy guest dies; from the order to promote the replica to the guest's first packet on the network.
import type { Writable } from 'node:stream';
import * as v from 'valibot';
import { waitFor } from '../../lab/wait-for.js';
import { ECHO_PORT } from '../loads.js';
import type { Pair } from '../yard/pair.js';
import { LineReader } from '../yard/line-reader.js';
import type { Yard } from '../yard/yard.js';
import { repeated, type GuestMeasure } from './measure.js';

const seen = v.object({ at_us: v.number(), answered_at_us: v.number() });
type Seen = v.InferOutput<typeof seen>;
/** The load outlives every wait of a round. */
const LOAD_MS = 600_000;
/** Many more than an idle guest has while the load begins. */
const FLOWING_CHECKPOINTS = 200;

/** Watches for the guest's packets on the client's interface. */
class Watcher {
  readonly #lines: LineReader;
  readonly #input: Writable;

  private constructor(lines: LineReader, input: Writable) {
    this.#lines = lines;
    this.#input = input;
  }

  static async start(yard: Yard, { mac, address }: Pair): Promise<Watcher> {
    const { child } = await yard.client.start([yard.program('await'), 'eth0', mac, address]);
    return new Watcher(new LineReader(child.stdout, 'the guest sends nothing'), child.stdin);
  }

  /** From now on; resolves when it watches, with what is to come (us, monotonic clock). */
  async watch(): Promise<{ readonly first: Promise<Seen> }> {
    this.#input.write('\n');
    await this.#lines.next();
    return { first: this.#lines.next().then((line) => v.parse(seen, JSON.parse(line))) };
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
    const watcher = await Watcher.start(yard, pair);
    try {
      const loads: number[] = [];
      const answers: number[] = [];
      const times = await repeated(settings.heavy_rounds, async () => {
        // One connection always asks: the last answers wait for their release when the host dies.
        const arguments_ = [pair.address, ECHO_PORT, 1, 0, LOAD_MS, 'are you there?'].map(String);
        const { child } = await yard.client.start([yard.program('ask'), ...arguments_]);
        try {
          const { checkpoints } = await pair.primary.reached('protected');
          await waitFor(
            'the load to begin',
            async () => (await pair.primary.status()).checkpoints > checkpoints + FLOWING_CHECKPOINTS,
            { timeout_ms: LOAD_MS, interval_ms: 10 },
          );
          const survivor = await pair.loseHost();
          await survivor.reached('in-sync');
          const { first } = await watcher.watch();
          const ordered = Number(await pair.failOver()) / 1000;
          loads.push(((await survivor.status()).promotion_us?.total ?? NaN) / 1000);
          const { at_us, answered_at_us } = await first;
          answers.push((answered_at_us - ordered) / 1000);
          return (at_us - ordered) / 1000;
        } finally {
          child.kill();
          await child;
          await pair.protect();
        }
      });
      findings.alone('promotion, as the engine says', 'ms', loads);
      findings.alone('promote order to the first answer to a ping', 'ms', answers);
      const found = findings.alone("promote order to the guest's first packet", 'ms', times);
      findings.figure('promote_to_packet_ms', found.median);
    } finally {
      watcher.end();
    }
  },
};
