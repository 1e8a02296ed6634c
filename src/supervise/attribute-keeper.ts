import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';

export interface AttributeWriter {
  read(): Promise<string | undefined>;
  set(value: string): Promise<void>;
  remove(): Promise<void>;
}

/**
 * Brings one node attribute to the value that is wanted, in the background: written only on change, one call at a time,
 * tried again until it is so. Nothing waits for it, because a cluster daemon that hangs must not fail a guest.
 */
export class AttributeKeeper {
  readonly #writer: AttributeWriter;
  readonly #onError: (message: string) => void;
  /** undefined: nothing was ever wanted; what is there is another's. */
  #wanted: string | null | undefined;
  /** undefined: not known, as at the start, when an earlier life may have left anything. */
  #written: string | null | undefined;
  #work: Promise<void> | undefined;
  /** It is to be gone for a moment, whatever is wanted. */
  #renewing = false;

  constructor(writer: AttributeWriter, onError: (message: string) => void) {
    this.#writer = writer;
    this.#onError = onError;
  }

  get wanted(): string | null {
    return this.#wanted ?? null;
  }

  want(value: string | null): void {
    if (value !== this.#wanted) this.#renewing = false;
    this.#wanted = value;
    if (this.#written !== value) this.#work ??= this.#bring();
  }

  /** Takes a value away and brings it back: whoever decides by it looks again. */
  renew(): void {
    if (this.wanted === null) return;
    this.#renewing = true;
    this.#work ??= this.#bring();
  }

  /**
   * Attributes vanish behind our back: attrd forgets a node's when its membership ends, also when the resource went on
   * (maintenance, a restart of Pacemaker). So it is read now and then, and written again if it is not as wanted.
   */
  async verify(): Promise<void> {
    if (this.#work || this.#wanted === undefined) return;
    const found = (await this.#writer.read()) ?? null;
    if (found === this.#wanted) return;
    this.#written = undefined;
    this.want(this.#wanted);
  }

  /** Waits until the attribute is as wanted, but no longer than the time. */
  async settle(timeoutMs: number): Promise<void> {
    const timer = new AbortController();
    await Promise.race([
      this.#work,
      sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    timer.abort();
  }

  async #bring(): Promise<void> {
    while (this.#renewing || this.#written !== this.#wanted) {
      const value = this.#renewing ? null : (this.#wanted ?? null);
      try {
        await (value === null ? this.#writer.remove() : this.#writer.set(value));
        this.#written = value;
        if (value === null) this.#renewing = false;
      } catch (error) {
        // It may have arrived all the same.
        this.#written = undefined;
        this.#onError(messageOf(error));
        await sleep(limits.tick_ms);
      }
    }
    this.#work = undefined;
  }
}
