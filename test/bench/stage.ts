// What a measure works on: a protected guest and, beside it, the same guest without protection.
import type { SyncMode } from './arguments.js';
import type { Subject } from './rounds.js';
import { BenchEngine } from './yard/engine.js';
import { addressOf, aloneLike, macOf, specOf, type Machine } from './yard/machine.js';
import { Pair, guestIsUp } from './yard/pair.js';
import { PlainGuest } from './yard/plain-guest.js';
import type { Yard } from './yard/yard.js';

const nothing = (): Promise<void> => Promise.resolve();

export class Stage {
  readonly yard: Yard;
  readonly pair: Pair;
  readonly #plain: PlainGuest;
  readonly #solo: BenchEngine | undefined;
  readonly #soloAddress: string;

  private constructor(
    yard: Yard,
    pair: Pair,
    plain: PlainGuest,
    solo: BenchEngine | undefined,
    soloAddress: string,
  ) {
    this.yard = yard;
    this.pair = pair;
    this.#plain = plain;
    this.#solo = solo;
    this.#soloAddress = soloAddress;
  }

  /**
   * Boots the guests: the protected one, the same in plain QEMU, and, if asked, a third one whose engine is alone for
   * ever.
   */
  static async set(
    yard: Yard,
    machine: Machine,
    options: { readonly sync_mode: SyncMode | undefined; readonly withSolo: boolean },
  ): Promise<Stage> {
    const pair = await Pair.boot(yard, machine, options.sync_mode);
    const { qemu_pid } = await pair.primary.status();
    const plain = await PlainGuest.start(yard, {
      ...{ name: `p${machine.name}`, host: 'n1', like: qemu_pid ?? 0 },
      mac: macOf(machine.number + 1),
      address: addressOf(machine.number + 1),
    });
    await guestIsUp(yard, plain.address);
    await plain.rest();
    const solo = options.withSolo ? await bootSolo(yard, machine) : undefined;
    await pair.protect();
    return new Stage(yard, pair, plain, solo, addressOf(aloneLike(machine).number));
  }

  get plain(): Subject {
    const plain = this.#plain;
    return { name: 'plain', address: plain.address, wake: () => plain.wake(), rest: () => plain.rest() };
  }

  /** It cannot stand still: while others are measured it is idle, and checkpointed ten times a second. */
  get guarded(): Subject {
    return { name: 'guarded', address: this.pair.address, wake: nothing, rest: nothing };
  }

  /** The unprotected and the protected guest, and the one that is alone if there is one. */
  get subjects(): Subject[] {
    const solo: Subject = { name: 'solo', address: this.#soloAddress, wake: nothing, rest: nothing };
    return [this.plain, ...(this.#solo ? [solo] : []), this.guarded];
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
