import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { awaitReady, startEngine } from '../engine/child.js';
import { EngineClient, withEngine } from '../engine/client.js';
import { engineEndError, logSize, readLastWords } from '../engine/last-words.js';
import type { DemoteOutcome, EngineEvent, EngineStatus, TuningChange } from '../engine/messages.js';
import { AgentError, messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { LogLevel } from '../common/log-level.js';
import type { ResourcePaths } from '../common/paths.js';
import type { Tuning } from '../common/tuning.js';
import { identify, isAlive, killAndWait, type ProcessIdentity } from '../common/process-identity.js';
import { childrenOf } from './process-record.js';

export interface SessionOwner {
  onEvent(event: EngineEvent): void;
  /** Once, when the engine is gone or hangs for good and was not told to stop. */
  onLost(reason: AgentError): void;
}

/**
 * One life of one engine, as this supervisor sees it: started here, or found alive after an earlier supervisor's crash.
 *
 *   start/attach ──► connected ──(connection ends, process lives)──► reconnecting ──► connected | lost
 *                        └────────(process ended)──► lost
 */
export class EngineSession {
  readonly engine: ProcessIdentity;
  readonly #paths: ResourcePaths;
  readonly #owner: SessionOwner;
  readonly #log: Logger;
  /** Where this engine's own words begin in a log that outlives it. */
  readonly #logOffset: number;
  /** Events and status; each command has a connection of its own, so that none waits behind a long one. */
  #events: EngineClient | undefined;
  #command: EngineClient | undefined;
  #qemu: ProcessIdentity | undefined;
  #over = false;
  #lastWords: string | undefined;

  private constructor(
    engine: ProcessIdentity,
    logOffset: number,
    paths: ResourcePaths,
    owner: SessionOwner,
    log: Logger,
  ) {
    this.engine = engine;
    this.#logOffset = logOffset;
    this.#paths = paths;
    this.#owner = owner;
    this.#log = log;
  }

  /** @throws AgentError the engine's own reason when it ends before it is ready */
  static async start(
    executable: string,
    paths: ResourcePaths,
    owner: SessionOwner,
    log: Logger,
    onStarted: (engine: ProcessIdentity) => Promise<void>,
  ): Promise<EngineSession> {
    const child = await startEngine(executable, paths, log.level);
    const session = new EngineSession(child.identity, child.log_offset, paths, owner, log);
    await onStarted(child.identity);
    log.info({ engine_pid: child.identity.pid }, 'engine started');
    try {
      const ready = await awaitReady(child, paths.engine_socket, limits.engine_start_ms);
      await session.#use(ready);
    } catch (error) {
      session.#over = true;
      await session.kill();
      throw error;
    }
    void child.ended.then((reason) => {
      session.#lose(reason);
    });
    return session;
  }

  /** @throws AgentError when it does not answer: the caller decides what becomes of it */
  static async attach(
    engine: ProcessIdentity,
    qemu: ProcessIdentity | undefined,
    paths: ResourcePaths,
    owner: SessionOwner,
    log: Logger,
  ): Promise<EngineSession> {
    const session = new EngineSession(engine, logSize(paths.engine_log), paths, owner, log);
    session.#qemu = qemu;
    await session.#use(await EngineClient.open(paths.engine_socket));
    log.info({ engine_pid: engine.pid }, 'attached to the engine of an earlier supervisor');
    return session;
  }

  get qemu(): ProcessIdentity | undefined {
    return this.#qemu;
  }

  /** @throws AgentError timeout, not-running, protocol */
  async status(): Promise<EngineStatus> {
    const events = this.#events;
    if (!events) throw new AgentError('not-running', 'the engine is gone');
    const status = await events.status();
    if (status.qemu_pid !== null && status.qemu_pid !== this.#qemu?.pid)
      this.#qemu = identify(status.qemu_pid);
    return status;
  }

  promote(mode: 'cold' | 'hot', generation: number, timeoutMs: number): Promise<void> {
    return this.#run((engine) => engine.promote(mode, generation, timeoutMs));
  }

  demote(timeoutMs: number): Promise<DemoteOutcome> {
    return this.#run((engine) => engine.demote(timeoutMs));
  }

  enterSolo(generation: number): Promise<void> {
    return this.#run((engine) => engine.enterSolo(generation));
  }

  /** Asks the guest to power itself off. */
  pressPowerButton(): Promise<void> {
    return this.#run((engine) => engine.pressPowerButton());
  }

  /** Ends the guest as if it had powered itself off. */
  endGuest(): Promise<void> {
    return this.#run((engine) => engine.endGuest());
  }

  /** Has QEMU say how the guest is, beside any command that is under way. @throws EngineRefusal guest-broken */
  checkGuest(timeoutMs: number): Promise<void> {
    return withEngine(this.#paths.engine_socket, (engine) => engine.checkGuest(timeoutMs));
  }

  /** Changes how the guest is kept in step, for this engine's life. */
  configure(change: TuningChange): Promise<void> {
    return this.#run((engine) => engine.configure(change));
  }

  /** Synchronizes and logs differently from now on. */
  reload(tuning: Tuning, level: LogLevel): Promise<void> {
    return this.#run(async (engine) => {
      await engine.configure(tuning);
      await engine.logLevel(level);
    });
  }

  /** Ends a command that is under way, so that `stop` need not wait behind a `demote`. */
  abandonCommand(): void {
    this.#command?.close();
  }

  /** From here on the engine's end is what was wanted. */
  expectEnd(): void {
    this.#over = true;
  }

  /** The engine says farewell to its peer and ends. @throws AgentError when it does not answer */
  async stop(): Promise<void> {
    await this.#run((engine) => engine.stop());
  }

  /** SIGKILL to the engine and its QEMU. @returns those that outlived it. */
  async kill(): Promise<readonly ProcessIdentity[]> {
    this.#over = true;
    // A supervisor that the engine has brought back is its child: this very one must live to tell.
    const children = (await childrenOf(this.engine.pid)).filter(({ pid }) => pid !== process.pid);
    const targets = [
      this.engine,
      ...(this.#qemu ? [this.#qemu] : []),
      ...(isAlive(this.engine) ? children : []),
    ];
    const survivors = await killAndWait(targets);
    this.#events?.close();
    this.#events = undefined;
    return survivors;
  }

  async #run<Result>(work: (engine: EngineClient) => Promise<Result>): Promise<Result> {
    return await withEngine(this.#paths.engine_socket, async (engine) => {
      this.#command = engine;
      try {
        return await work(engine);
      } finally {
        this.#command = undefined;
      }
    });
  }

  async #use(client: EngineClient): Promise<void> {
    this.#events = client;
    await client.subscribe(
      (event) => {
        if (event.event === 'fatal') this.#lastWords = event.message;
        this.#owner.onEvent(event);
      },
      (why) => {
        this.#events = undefined;
        void this.#reconnect(why);
      },
    );
  }

  /** The connection is gone: at a dead engine this is the first sign of it, before its parent hears. */
  async #reconnect(why: AgentError): Promise<void> {
    const deadline = Date.now() + limits.engine_reconnect_ms;
    let pause = 1;
    while (!this.#over) {
      if (!isAlive(this.engine)) {
        // A child's exit code says more than its log, and is here within a moment.
        await sleep(limits.exit_code_ms);
        this.#lose(engineEndError({}, readLastWords(this.#paths.engine_log, this.#logOffset)));
        return;
      }
      if (Date.now() >= deadline) {
        this.#lose(
          new AgentError('engine-failed', `the engine lives but cannot be spoken to: ${why.message}`),
        );
        return;
      }
      try {
        await this.#use(await EngineClient.open(this.#paths.engine_socket));
        this.#log.warn({ why: why.message }, 'connection to the engine was lost and is back');
        return;
      } catch (error) {
        this.#log.debug({ error: messageOf(error) }, 'the engine does not take a connection');
      }
      await sleep(pause);
      pause = Math.min(pause * 2, limits.poll_ms);
    }
  }

  #lose(reason: AgentError): void {
    if (this.#over) return;
    this.#over = true;
    this.#events?.close();
    this.#events = undefined;
    const said = this.#lastWords;
    this.#owner.onLost(said === undefined ? reason : new AgentError(reason.code, said, { cause: reason }));
  }
}
