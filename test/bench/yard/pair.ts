// A protected guest: two engines, of which one runs it and the other has its replica.
import type { EngineStatus } from '../../../src/engine/messages.js';
import { waitFor } from '../../lab/wait-for.js';
import type { SyncMode } from '../arguments.js';
import { BenchEngine, type Usage } from './engine.js';
import { addressOf, macOf, specOf, type Machine } from './machine.js';
import type { Yard } from './yard.js';

const BOOT_TIMEOUT_MS = 180_000;
const LOOK_TIMEOUT_MS = 3000;

export class Pair {
  readonly address: string;
  readonly mac: string;
  readonly #yard: Yard;
  readonly #machine: Machine;
  readonly #sync_mode: SyncMode | undefined;
  #primary: BenchEngine;
  #secondary: BenchEngine | undefined;
  #generation = 1;

  private constructor(yard: Yard, machine: Machine, sync_mode: SyncMode | undefined, primary: BenchEngine) {
    this.#yard = yard;
    this.#machine = machine;
    this.#sync_mode = sync_mode;
    this.#primary = primary;
    this.address = addressOf(machine.number);
    this.mac = macOf(machine.number);
  }

  /** Boots the guest on n1, without a replica so far: nothing waits for anything. */
  static async boot(yard: Yard, machine: Machine, sync_mode?: SyncMode): Promise<Pair> {
    const spec = await specOf({ machine, host: 'n1', run: yard.run, sync_mode });
    const pair = new Pair(yard, machine, sync_mode, await BenchEngine.start(yard, 'n1', spec));
    await pair.primary.promote('cold', 1);
    await guestIsUp(yard, pair.address);
    return pair;
  }

  get primary(): BenchEngine {
    return this.#primary;
  }

  get secondary(): BenchEngine {
    if (!this.#secondary) throw new Error(`${this.#machine.name} has no replica`);
    return this.#secondary;
  }

  /** Starts the other host's engine, which asks for nothing and gets a replica. */
  async startSecondary(): Promise<BenchEngine> {
    const host = this.#primary.host === 'n1' ? 'n2' : 'n1';
    const { run } = this.#yard;
    const spec = await specOf({ machine: this.#machine, host, run, sync_mode: this.#sync_mode });
    return (this.#secondary = await BenchEngine.start(this.#yard, host, spec));
  }

  /** Gives the guest a replica, and waits until it is complete. */
  async protect(): Promise<void> {
    await this.startSecondary();
    await this.#primary.reached('protected');
  }

  async killSecondary(): Promise<void> {
    await this.secondary.kill();
    this.#secondary = undefined;
  }

  /** The host that runs the guest dies. Returns the engine with the replica, which may be promoted now. */
  async loseHost(): Promise<BenchEngine> {
    await this.#primary.kill();
    return this.secondary;
  }

  /** After [`loseHost`]: the replica becomes the guest. Returns when the order was given, on the monotonic clock. */
  async failOver(): Promise<bigint> {
    const promoted = this.secondary;
    this.#generation += 1;
    const ordered_at = process.hrtime.bigint();
    await promoted.promote('hot', this.#generation);
    this.#primary = promoted;
    this.#secondary = undefined;
    return ordered_at;
  }

  /** Statistics of a load: what the engine has counted while `load` ran. */
  async during<T>(load: () => Promise<T>): Promise<{ result: T; window: Window }> {
    const before = await this.#look();
    const result = await load();
    const after = await this.#look();
    return { result, window: windowOf(before, after) };
  }

  async #look(): Promise<Look> {
    const at_s = Number(process.hrtime.bigint()) / 1e9;
    const { control } = this.#primary;
    const [quantiles, primary, secondary] = await Promise.all([
      control.status(),
      this.#primary.usage(),
      this.secondary.usage(),
    ]);
    // What is counted is brought up to date by it.
    await control.restartStatistics();
    return { at_s, quantiles, counts: await control.status(), primary, secondary };
  }

  async end(): Promise<void> {
    await this.#secondary?.kill();
    await this.#primary.kill();
  }
}

interface Look {
  readonly at_s: number;
  readonly quantiles: EngineStatus;
  readonly counts: EngineStatus;
  readonly primary: Usage;
  readonly secondary: Usage;
}

/** What happened between two looks. */
export interface Window {
  readonly seconds: number;
  readonly checkpoints: number;
  readonly pages: number;
  readonly bytes: number;
  /** Quantiles of what was in between. */
  readonly status: EngineStatus;
  /** Share of one processor. */
  readonly primary_cpu: number;
  readonly secondary_cpu: number;
  readonly primary_mib: number;
  readonly secondary_mib: number;
}

export function windowOf(before: Look, after: Look): Window {
  const seconds = after.at_s - before.at_s;
  const [from, to] = [before.counts, after.counts];
  const share = (early: Usage, late: Usage): number => (late.cpu_seconds - early.cpu_seconds) / seconds;
  return {
    seconds,
    checkpoints: to.checkpoints - from.checkpoints,
    pages: to.checkpoint_pages - from.checkpoint_pages,
    bytes: to.checkpoint_bytes - from.checkpoint_bytes,
    status: after.quantiles,
    primary_cpu: share(before.primary, after.primary),
    secondary_cpu: share(before.secondary, after.secondary),
    primary_mib: after.primary.own_mib,
    secondary_mib: after.secondary.own_mib,
  };
}

/** Whether the guest's service answers. */
export async function guestAnswers(yard: Yard, address: string, timeout_ms: number): Promise<boolean> {
  const { exit_code } = await yard.client.exec([yard.program('tell'), address, 'pages 0'], { timeout_ms });
  return exit_code === 0;
}

/** Waits until it does. */
export async function guestIsUp(yard: Yard, address: string): Promise<void> {
  await waitFor(`the guest at ${address} to boot`, () => guestAnswers(yard, address, LOOK_TIMEOUT_MS), {
    timeout_ms: BOOT_TIMEOUT_MS,
  });
}
