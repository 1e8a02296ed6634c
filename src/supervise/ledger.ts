import type { Logger } from 'pino';
import { EngineRefusal } from '../engine/client.js';
import type { EngineStatus } from '../engine/messages.js';
import { AgentError, messageOf, toAgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { ResourcePaths } from '../common/paths.js';
import { identify, type ProcessIdentity } from '../common/process-identity.js';
import { initialState, sameState, type DurableState, type DurableStore } from './durable-state.js';
import { durableAfter } from './durable-transition.js';
import type { Launch } from './launch.js';
import { writeProcessRecord } from './process-record.js';

/** What the supervisor keeps outside itself: state.json for after a crash of the host, the record for `stop`. */
export class Ledger {
  readonly #paths: ResourcePaths;
  readonly #launch: Launch;
  readonly #store: DurableStore;
  readonly #log: Logger;
  #durable: DurableState | undefined;
  #recorded = '';
  #failure: AgentError | undefined;
  #writingSince: number | undefined;
  #triedAt = 0;

  constructor(paths: ResourcePaths, launch: Launch, store: DurableStore, log: Logger) {
    this.#paths = paths;
    this.#launch = launch;
    this.#store = store;
    this.#log = log;
  }

  /** undefined until it was opened. */
  get durable(): DurableState | undefined {
    return this.#durable;
  }

  /** Before an engine is started. @throws AgentError state-unusable: then none is */
  async open(): Promise<void> {
    this.#durable = await this.#store.open(this.#launch.vm_uuid);
    this.#triedAt = Date.now();
  }

  /** Beside an engine that runs. A state.json that broke is made again from what the engine says: the guest goes on. */
  async openBeside(): Promise<void> {
    try {
      const found = await this.#store.load();
      if (found?.vm_uuid === this.#launch.vm_uuid) {
        this.#durable = found;
        return;
      }
      this.#log.error('state.json has vanished or changed its VM under a running resource');
    } catch (error) {
      this.#log.error(messageOf(error));
    }
    this.#durable = initialState(this.#launch.vm_uuid);
  }

  known(): DurableState {
    if (!this.#durable) throw new AgentError('state-unusable', 'state.json was never opened');
    return this.#durable;
  }

  /** Written only on change. @throws AgentError state-unusable: the old state stands then */
  async save(change: Partial<DurableState>): Promise<DurableState> {
    const next = { ...this.known(), ...change };
    if (!sameState(this.known(), next)) await this.#write(next);
    return this.known();
  }

  /** Why the last write failed, if it did. */
  get failure(): AgentError | undefined {
    return this.#failure;
  }

  /** Whether the disk took the last write, and is not stuck in one. */
  get writable(): boolean {
    const since = this.#writingSince;
    return this.#failure === undefined && (since === undefined || Date.now() - since < limits.disk_stuck_ms);
  }

  /**
   * Writes what is there already, every few seconds: a promotion begins with a write, and that the disk is full is
   * better known before Pacemaker counts on this node. @throws AgentError state-unusable
   */
  async probe(): Promise<void> {
    if (Date.now() - this.#triedAt >= limits.disk_probe_ms) await this.#write(this.known());
  }

  async #write(next: DurableState): Promise<void> {
    this.#triedAt = Date.now();
    this.#writingSince = this.#triedAt;
    try {
      this.#durable = await this.#store.write(next);
      if (this.#failure) this.#log.info('state.json can be written again');
      this.#failure = undefined;
    } catch (error) {
      if (!this.#failure) this.#log.error(messageOf(error));
      this.#failure = toAgentError(error, 'state-unusable');
      throw error;
    } finally {
      this.#writingSince = undefined;
    }
  }

  /** What the disk must say once the engine is in this state. */
  async saveAfter(engine: EngineStatus): Promise<DurableState> {
    return await this.save(durableAfter(this.known(), engine, this.#launch.node, engine.peer.node));
  }

  /**
   * A new generation, solo from birth: durable before the engine is told, because a number that was used must never be
   * given out again; taken back only if the engine refuses before it has touched anything.
   */
  async beginGeneration(generation: number, tellEngine: () => Promise<void>): Promise<void> {
    const before = this.known();
    await this.save({ generation, owner: this.#launch.node, role: 'primary', sync: 'solo' });
    try {
      await tellEngine();
    } catch (error) {
      // A disk that fails now is told to the log; the next look at the engine mends what it says.
      if (error instanceof EngineRefusal && error.nothing_changed)
        await this.save(before).catch(() => undefined);
      throw error;
    }
  }

  /** Whom `stop` must kill if nothing answers any more. */
  async record(
    engine: ProcessIdentity | undefined,
    qemu: ProcessIdentity | undefined,
    promoted: boolean,
  ): Promise<void> {
    const supervisor = identify(process.pid);
    const record = {
      ...(supervisor ? { supervisor } : {}),
      ...(engine ? { engine } : {}),
      ...(qemu ? { qemu } : {}),
      promoted,
    };
    const text = JSON.stringify(record);
    if (text === this.#recorded) return;
    await writeProcessRecord(this.#paths, record);
    this.#recorded = text;
  }
}
