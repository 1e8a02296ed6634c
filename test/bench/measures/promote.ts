// The host that runs a busy guest dies; from the order to promote the replica to the first packet on the network that the
// promoted guest has made itself, and to its first answer to a ping.
import type { Writable } from 'node:stream';
import * as v from 'valibot';
import { waitFor } from '../../lab/wait-for.js';
import { ECHO_PORT } from '../loads.js';
import type { Pair } from '../yard/pair.js';
import { LineReader } from '../yard/line-reader.js';
import type { Yard } from '../yard/yard.js';
import { repeated, type GuestMeasure } from './measure.js';

const seen = v.object({ frames_us: v.array(v.number()), answered_at_us: v.number() });
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
  async watch(): Promise<{ readonly seen: Promise<Seen> }> {
    this.#input.write('\n');
    await this.#lines.next();
    return { seen: this.#lines.next().then((line) => v.parse(seen, JSON.parse(line))) };
  }

  end(): void {
    this.#input.end();
  }
}

/** When the promoted guest's own first packet was there: what its engine repeats for the former primary comes before it. */
export function firstOwn_us({ frames_us, answered_at_us }: Seen, replayed: number): number {
  return frames_us[replayed] ?? answered_at_us;
}

export const promote: GuestMeasure = {
  name: 'promote',
  title: "failover: from the order to the guest's first packet",
  on: 'small',
  async run({ yard, pair }, settings, findings) {
    const watcher = await Watcher.start(yard, pair);
    try {
      const rounds = await repeated(settings.heavy_rounds, async () => {
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
          const { seen: frames } = await watcher.watch();
          const ordered_us = Number(await pair.failOver()) / 1000;
          const load = ((await survivor.status()).promotion_us?.total ?? NaN) / 1000;
          const found = await frames;
          const after = (at_us: number): number => (at_us - ordered_us) / 1000;
          return {
            load,
            any: after(found.frames_us[0] ?? found.answered_at_us),
            own: after(firstOwn_us(found, await survivor.replayed())),
            answer: after(found.answered_at_us),
          };
        } finally {
          child.kill();
          await child;
          await pair.protect();
        }
      });
      const noted = (what: string, key: keyof (typeof rounds)[number]): number =>
        findings.alone(
          what,
          'ms',
          rounds.map((round) => round[key]),
        ).median;
      noted('promotion, as the engine says', 'load');
      noted('promote order to the first packet, which may be a repeated one', 'any');
      findings.figure('promote_to_packet_ms', noted("promote order to the guest's own first packet", 'own'));
      findings.figure('promote_to_answer_ms', noted('promote order to the first answer to a ping', 'answer'));
    } finally {
      watcher.end();
    }
  },
};
