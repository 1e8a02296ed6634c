// Keeps one connection to the guest busy for as long as a story lasts.
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { GUEST_ADDRESS } from '../networks.js';
import type { Lab } from '../lab.js';
import { PROJECT } from '../project.js';
import { waitFor } from '../wait-for.js';
import { Answers, type Verdict } from './answers.js';

export const COUNTER_PORT = 7000;
const ANSWER_TIMEOUT_MS = 60_000;
const BOOT_TIMEOUT_MS = 60_000;

export interface TrafficOptions {
  /** Pause between an answer and the next request; 0 keeps the guest as busy as one request at a time can. */
  readonly interval_us?: number;
  readonly address?: string;
}

export class Traffic {
  readonly answers = new Answers();
  readonly #end: () => void;
  readonly #ended: Promise<unknown>;

  private constructor(end: () => void, ended: Promise<unknown>) {
    this.#end = end;
    this.#ended = ended;
  }

  /** Waits until a guest that is booting answers connections. */
  static async guestIsUp(lab: Lab, address = GUEST_ADDRESS): Promise<void> {
    const knock = ['bash', '-c', `exec 3<>/dev/tcp/${address}/${COUNTER_PORT}`];
    await waitFor(
      'the guest to boot',
      async () => (await lab.client.exec(knock, { timeout_ms: 2000 })).exit_code === 0,
      { timeout_ms: BOOT_TIMEOUT_MS },
    );
  }

  /** Opens the connection; returns when the first answer is there. */
  static async start(lab: Lab, options: TrafficOptions = {}): Promise<Traffic> {
    const program = join(lab.run, 'traffic');
    await execa('gcc', ['-std=gnu11', '-O2', '-o', program, join(PROJECT, 'test/lab/traffic/traffic.c')]);
    const address = options.address ?? GUEST_ADDRESS;
    await Traffic.guestIsUp(lab, address);
    const { child } = await lab.client.start([
      program,
      address,
      String(COUNTER_PORT),
      String(options.interval_us ?? 0),
    ]);
    const traffic = new Traffic(() => child.stdin.end(), child);
    createInterface({ input: child.stdout }).on('line', (line) => {
      traffic.answers.take(line);
    });
    await traffic.answered(1);
    return traffic;
  }

  /** Waits for `count` more answers. Throws when the connection breaks first. */
  async answered(count: number, timeout_ms = ANSWER_TIMEOUT_MS): Promise<void> {
    const wanted = this.answers.list.length + count;
    await waitFor(
      `${count} more answers from the guest`,
      () => this.answers.list.length >= wanted || this.answers.verdict.broken !== undefined,
      { timeout_ms, interval_ms: 10 },
    );
    if (this.answers.verdict.broken !== undefined) {
      throw new Error(`the connection to the guest broke: ${this.answers.verdict.broken}`);
    }
  }

  /** Lets the last request be answered, closes the connection and says how it went. */
  async stop(): Promise<Verdict> {
    this.#end();
    await this.#ended;
    return this.answers.verdict;
  }
}
