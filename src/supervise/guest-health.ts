import type { Logger } from 'pino';
import type { EngineEvent, EngineStatus } from '../engine/messages.js';
import { OutputFlow, type Flow } from './decide-sickness.js';
import { endSickGuest, type EndOfGuest } from './end-sick-guest.js';
import type { EngineSession } from './engine-session.js';

/**
 * Whether the guest that runs here is well, in the eyes of QEMU and of whoever talks to it. A sick one is not handed over:
 * the copy on the other node has the same memory, so it is ended on both, and Pacemaker boots it anew.
 */
export class GuestHealth {
  readonly #log: Logger;
  readonly #flow = new OutputFlow();
  #sick: string | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Every state of the engine that is heard of. */
  see({ state }: Pick<EngineStatus, 'state'> | Extract<EngineEvent, { event: 'state' }>): void {
    this.#flow.see(state, Date.now());
  }

  /** What the actions are told. */
  view(engine: EngineStatus | undefined): { readonly sick: string | null; readonly flow: Flow } {
    const flow = {
      flowing_ms: this.#flow.flowingMs(Date.now()),
      braked: (engine?.sync_progress?.brake_percent ?? 0) > 0,
      generation: engine?.generation ?? 0,
    };
    return { sick: this.#sick ?? null, flow };
  }

  /** What who talks to the guest found: why it is sick, or that it is not. */
  note(sick: string | null): void {
    if (sick === (this.#sick ?? null)) return;
    this.#sick = sick ?? undefined;
    if (sick === null) this.#log.info('the guest is well again');
    else this.#log.error({ sick }, 'the guest is sick: a demote ends it and does not hand it over');
  }

  /** Another guest, or none. */
  forget(): void {
    this.#sick = undefined;
  }

  /** Ends a guest that is sick. @returns the engine of one that has ended, here and on the other node. */
  async endIfSick(
    session: EngineSession,
    engine: EngineStatus,
    until: EndOfGuest,
  ): Promise<EngineStatus | undefined> {
    if (this.#sick === undefined || engine.state === 'ended') return undefined;
    this.#log.warn({ sick: this.#sick }, 'the guest is ended and not handed over: its copy is as sick');
    return await endSickGuest(session, this.#log, until);
  }
}
