// What a measure works on: a protected guest and, beside it, the same guest without protection.
import type { SyncMode } from './arguments.js';
import type { Subject } from './rounds.js';
import { BenchEngine } from './yard/engine.js';
import { addressOf, aloneLike, macOf, specOf, type Machine } from './yard/machine.js';
import { Pair, guestAnswers, guestIsUp } from './yard/pair.js';
import { PlainGuest } from './yard/plain-guest.js';
import type { Yard } from './yard/yard.js';

/** Nobody who answers at all takes so long. */
const SILENCE_MS = 20_000;

const nothing = (): Promise<void> => Promise.resolve();

export interface StageOptions {
  readonly sync_mode: SyncMode | undefined;
  /** A third guest, whose engine is alone for ever. */
  readonly withSolo: boolean;
  /** Told of what an unprotected guest has come to. */
  readonly say: (text: string) => void;
}

export class Stage {
  readonly yard: Yard;
  readonly pair: Pair;
  readonly #machine: Machine;
  readonly #say: (text: string) => void;
  readonly #plain: PlainGuest;
  #solo: BenchEngine | undefined;

  private constructor(yard: Yard, machine: Machine, pair: Pair, plain: PlainGuest, options: StageOptions) {
    this.yard = yard;
    this.pair = pair;
    this.#machine = machine;
    this.#say = options.say;
    this.#plain = plain;
  }

  /** Boots the guests: the protected one, the same in plain QEMU, and, if asked, the one that is alone. */
  static async set(yard: Yard, machine: Machine, options: StageOptions): Promise<Stage> {
    const pair = await Pair.boot(yard, machine, options.sync_mode);
    const { qemu_pid } = await pair.primary.status();
    const plain = await PlainGuest.start(yard, {
      ...{ name: `p${machine.name}`, host: 'n1', like: qemu_pid ?? 0 },
      mac: macOf(machine.number + 1),
      address: addressOf(machine.number + 1),
    });
    const stage = new Stage(yard, machine, pair, plain, options);
    await guestIsUp(yard, plain.address);
    await plain.rest();
    if (options.withSolo) stage.#solo = await bootSolo(yard, machine);
    await pair.protect();
    return stage;
  }

  get plain(): Subject {
    const plain = this.#plain;
    return {
      ...{ name: 'plain', address: plain.address },
      wake: () => plain.wake(),
      rest: () => plain.rest(),
      revive: () => this.#revived('unprotected guest', plain.address, () => plain.reboot()),
    };
  }

  /** It cannot stand still: while others are measured it is idle, and checkpointed ten times a second. */
  get guarded(): Subject {
    // One of these that goes silent is what the benchmark has to tell.
    const revive = (): Promise<boolean> => Promise.resolve(false);
    return { name: 'guarded', address: this.pair.address, wake: nothing, rest: nothing, revive };
  }

  get #alone(): Subject {
    const address = addressOf(aloneLike(this.#machine).number);
    const revive = (): Promise<boolean> =>
      this.#revived('guest whose engine is alone', address, async () => {
        await this.#solo?.kill();
        this.#solo = await bootSolo(this.yard, this.#machine);
      });
    return { name: 'solo', address, wake: nothing, rest: nothing, revive };
  }

  /** The unprotected and the protected guest, and the one that is alone if there is one. */
  get subjects(): Subject[] {
    return [this.plain, ...(this.#solo ? [this.#alone] : []), this.guarded];
  }

  /**
   * Under emulation the network of a guest with one vCPU that nobody checkpoints can stand still for good (ARCHITECTURE.md,
   * on barriers): it gets another boot if it has.
   */
  async #revived(what: string, address: string, reboot: () => Promise<void>): Promise<boolean> {
    if (await guestAnswers(this.yard, address, SILENCE_MS)) return false;
    this.#say(`the ${what} answers nobody any more: it is booted again, and its round repeated`);
    await reboot();
    await guestIsUp(this.yard, address);
    return true;
  }

  async clear(): Promise<void> {
    await this.#solo?.kill();
    await this.#plain.end();
    await this.pair.end();
  }
}

async function bootSolo(yard: Yard, machine: Machine): Promise<BenchEngine> {
  const alone = aloneLike(machine);
  const solo = await BenchEngine.start(
    yard,
    'n1',
    await specOf({ machine: alone, host: 'n1', run: yard.run }),
  );
  await solo.promote('cold', 1);
  await guestIsUp(yard, addressOf(alone.number));
  return solo;
}
