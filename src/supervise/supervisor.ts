import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { EngineEvent, EngineStatus } from '../engine/messages.js';
import { hasQuorum } from '../pacemaker/tools.js';
import { AgentError, messageOf, toAgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { ResourcePaths } from '../common/paths.js';
import { isAlive, killAndWait, type ProcessIdentity } from '../common/process-identity.js';
import { decideMonitor, type MonitorVerdict, type Phase } from './decide-monitor.js';
import { decidePromotion } from './decide-promotion.js';
import { maySolo } from './decide-solo.js';
import { EngineSession } from './engine-session.js';
import { GuestHealth } from './guest-health.js';
import { saveReload, type Reloadable } from './launch.js';
import { Mailbox } from './mailbox.js';
import { findProcesses, readProcessRecord } from './process-record.js';
import { Publisher, type PublisherParts } from './publisher.js';
import { reportLoss } from './report-loss.js';
import { askEarly, shutDownGuest } from './shut-down-guest.js';
import { stopEngine } from './stop-engine.js';
import { survivorError } from './survivor-error.js';

export interface SupervisorParts extends PublisherParts {
  readonly paths: ResourcePaths;
  readonly engine_executable: string;
  readonly log: Logger;
}

/**
 * Decides everything that concerns the cluster, for one resource on one node: its state.json, the generation, the
 * scores. All of it changes inside the mailbox; only the loss of the engine takes the score away at once, from outside.
 *
 *   starting ──► running ──► stopping
 *      └► failed    └► lost      (both wait for `stop`, and say why to whoever asks)
 */
export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #mailbox = new Mailbox();
  #phase: Phase = 'starting';
  #failure: AgentError | undefined;
  #session: EngineSession | undefined;
  #engine: EngineStatus | undefined;
  #peerOutdatedGeneration: number | undefined;
  #wasPromoted = false;
  /** Since when the replica has been built, ms since 1970. */
  #receivingSince: number | undefined;
  readonly #health: GuestHealth;
  readonly #publisher: Publisher;
  #promoting = false;
  #promoteFailed = false;
  /** A stop is waiting for the mailbox. */
  #ending = false;
  /** Of a lost engine and its QEMU: those that SIGKILL did not end. */
  #survivors: readonly ProcessIdentity[] = [];
  /** The guest died here and has been demoted since: the other node is to be promoted before anything is found to have failed. */
  #demotedDead = false;
  /** Of a lost engine: whether Pacemaker has still to be told. */
  #report: 'none' | 'due' | 'over' = 'none';

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#health = new GuestHealth(parts.log);
    this.#publisher = new Publisher(parts);
  }

  /** Starts the engine, or finds the one of an earlier supervisor. What goes wrong is kept for who asks. */
  async boot(): Promise<void> {
    await this.#mailbox.run(async () => {
      try {
        await this.#boot();
      } catch (error) {
        const failure = toAgentError(error, 'engine-failed');
        // The engine was there before this supervisor: it is not a start that failed.
        if (this.#phase === 'lost') return;
        this.#phase = 'failed';
        this.#failure = failure;
        this.#parts.log.error({ code: failure.code }, failure.message);
      }
    });
  }

  /** Looks at everything again; called about once a second, and skipped while something else is under way. */
  tick(): void {
    if (this.#phase !== 'running') return;
    if (this.#mailbox.idle) this.#refreshSoon();
    // A write that hangs holds up everything; but a promotion that waits for the disk may still come to something.
    else if (!this.#parts.ledger.writable && !this.#promoting) this.#publish();
  }

  async status(): Promise<Record<string, unknown>> {
    const session = this.#session;
    let engine: EngineStatus | undefined;
    let silence: string | undefined;
    if (session && (this.#phase === 'running' || this.#phase === 'starting')) {
      try {
        engine = await session.status();
      } catch (error) {
        silence = messageOf(error);
      }
    }
    const verdict = this.#verdict(engine, silence);
    const failure = this.#failure ?? this.#parts.ledger.failure;
    return {
      phase: this.#phase,
      resource: this.#parts.launch.resource,
      node: this.#parts.launch.node,
      peers: this.#parts.launch.peers,
      monitor: { code: verdict.code, recurring: verdict.recurring, reason: verdict.reason ?? null },
      failure: failure ? { code: failure.code, message: failure.message } : null,
      ...this.#health.view(engine),
      promotion_score: this.#parts.score.wanted,
      frozen_since_ms: this.#publisher.frozenSince,
      durable: this.#parts.ledger.durable ?? null,
      peer_disks: this.#publisher.peerDisksShown,
      engine: engine ?? null,
    };
  }

  /** Has QEMU say how the guest is. @throws AgentError refused: it has stopped the guest for good; else it did not say */
  check(timeoutMs: number): Promise<void> {
    return this.#running().checkGuest(timeoutMs);
  }

  /** What who talks to the guest found: why it is sick, or that it is not. */
  noteHealth(sick: string | null): void {
    this.#health.note(sick);
  }

  /** @returns how; `already` if the guest runs here. */
  promote(timeoutMs: number): Promise<'hot' | 'cold' | 'already'> {
    const deadline = Date.now() + timeoutMs;
    return this.#mailbox.run(async () => {
      const { ledger, score } = this.#parts;
      this.#promoting = true;
      this.#promoteFailed = true;
      let how;
      try {
        how = await this.#promotePatiently(deadline);
        this.#promoteFailed = false;
      } finally {
        this.#promoting = false;
        // Only if the disk had taken it away: a failover waits for nothing.
        if (score.wanted === null || !ledger.writable) await this.#tellScore();
      }
      // Pacemaker waits for the answer, and the guest runs: score and record follow on their own.
      this.#refreshSoon();
      return how;
    });
  }

  /** What Pacemaker does next it decides by the score: it is there before the answer, unless the cluster hangs. */
  async #tellScore(): Promise<void> {
    await this.#refresh().catch(() => undefined);
    await this.#parts.score.settle(limits.cluster_tool_ms);
  }

  /** A promote that fails makes Pacemaker stop what may be the last live copy: a disk in trouble is given time. */
  async #promotePatiently(deadline: number): Promise<'hot' | 'cold' | 'already'> {
    for (;;) {
      try {
        return await this.#promoteOnce(deadline);
      } catch (error) {
        const patience = deadline - Date.now() - limits.promote_reserve_ms - limits.tick_ms;
        if (!(error instanceof AgentError) || error.code !== 'state-unusable' || patience < 0) throw error;
        await sleep(limits.tick_ms);
        if (this.#phase !== 'running' || this.#ending) throw error;
      }
    }
  }

  async #promoteOnce(deadline: number): Promise<'hot' | 'cold' | 'already'> {
    const session = this.#running();
    const engine = await this.#observe(session);
    const { launch, ledger, log } = this.#parts;
    const durable = await ledger.saveAfter(engine);
    if (engine.state === 'empty') await this.#publisher.askPeerDisks();
    const decision = decidePromotion({
      resource: launch.resource,
      me: launch.node,
      engine,
      durable,
      peer_disks: this.#publisher.peerDisks,
    });
    if (decision.kind === 'already') return 'already';
    if (decision.kind === 'refuse') throw new AgentError('refused', decision.reason);
    const { kind: mode, generation } = decision;
    log.info({ mode, generation }, 'promoting');
    await ledger.beginGeneration(generation, () =>
      session.promote(mode, generation, Math.max(deadline - Date.now(), 1)),
    );
    this.#wasPromoted = true;
    this.#health.forget();
    return mode;
  }

  /** `shutdownMs`: how long a sick guest, which is not handed over, has to power itself off. */
  demote(timeoutMs: number, shutdownMs: number): Promise<void> {
    const now = Date.now();
    const until = { shutdown: now + shutdownMs, end: now + timeoutMs };
    return this.#mailbox.run(async () => {
      const session = this.#session;
      if (this.#phase !== 'running' || !session) {
        // The guest is dead: that is demoted. Monitor says not running from here on.
        await this.#endGuest();
        return;
      }
      const engine = await this.#observe(session).catch((error: unknown) => messageOf(error));
      if (typeof engine === 'string' || engine.data_thread_idle_ms > limits.data_thread_stuck_ms) {
        const why = typeof engine === 'string' ? engine : "the engine's data thread is stuck";
        this.#lose(new AgentError('engine-failed', `${why}: it was killed so that another node can go on`));
        await this.#endGuest();
        return;
      }
      if (engine.role === 'secondary') {
        this.#offerAgain();
        return;
      }
      // A primary that ended or runs solo is the newest there is; only a handover makes it outdated.
      await this.#parts.ledger.saveAfter(engine);
      const ended = await this.#health.endIfSick(session, engine, until);
      if (ended) await this.#parts.ledger.saveAfter(ended);
      else if (engine.state !== 'ended') {
        const outcome = await session.demote(Math.max(until.end - Date.now(), 1));
        this.#parts.log.info({ outcome }, 'demoted');
        await this.#parts.ledger.save({
          role: 'secondary',
          sync: outcome === 'parked' ? 'solo' : 'outdated',
        });
      }
      this.#wasPromoted = false;
      this.#health.forget();
      await this.#tellScore();
    });
  }

  /** A promote has failed and, with on-fail=demote, this one is demoted: Pacemaker tries again when something changes only. */
  #offerAgain(): void {
    if (!this.#promoteFailed) return;
    this.#promoteFailed = false;
    setTimeout(() => {
      // Behind a promotion that is under way: the score of a guest that runs must not be gone for a moment.
      void this.#mailbox.run(() => {
        if (this.#phase === 'running' && !this.#ending && !this.#wasPromoted) this.#parts.score.renew();
        return Promise.resolve();
      });
    }, limits.promote_again_ms);
  }

  /** What a running VM takes as it is; a later supervisor begins with it too. */
  reload({ tuning, log_level }: Reloadable): Promise<void> {
    return this.#mailbox.run(async () => {
      const { paths, log } = this.#parts;
      await this.#running().reload(tuning, log_level);
      await saveReload(paths, { tuning, log_level });
      log.level = log_level;
      log.info({ tuning, log_level }, 'reloaded');
    });
  }

  /**
   * Ends engine and guest in order if they take it, by SIGKILL if not: a guest whose only copy is here is asked to power
   * itself off first, for `shutdownMs`. Never fails for the disk's or cluster's sake.
   */
  stop(shutdownMs: number): Promise<void> {
    const deadline = Date.now() + shutdownMs;
    // What an earlier stop does is no command to be given up for this one.
    if (!this.#ending) this.#session?.abandonCommand();
    this.#ending = true;
    this.#session?.expectEnd();
    // A disk that hangs holds up the mailbox, and the guest must not end like by a power cut for that.
    let asked = Promise.resolve(false);
    const early = setTimeout(() => {
      if (this.#phase === 'running' && this.#session && shutdownMs > 0)
        asked = askEarly(this.#session, this.#parts.log);
    }, limits.patience_ms);
    return this.#mailbox.run(async () => {
      clearTimeout(early);
      const isAsked = await asked;
      const lost = this.#phase === 'lost';
      this.#phase = 'stopping';
      this.#publisher.withdraw();
      const session = this.#session;
      if (session) {
        if (shutdownMs > 0 && !lost) await shutDownGuest(session, this.#parts, deadline, isAsked);
        const survivors = await stopEngine(session, this.#parts, this.#engine);
        // For a monitor that finds nobody any more: no guest was lost. One that SIGKILL did not end is not nobody.
        if (survivors.length === 0) this.#wasPromoted = false;
        await this.#record().catch(() => undefined);
      }
      await this.#publisher.withdrawn();
      this.#parts.log.info('stopped');
    });
  }

  async #boot(): Promise<void> {
    const { paths, ledger, log, engine_executable: executable } = this.#parts;
    const record = await readProcessRecord(paths);
    // A record that is lost or damaged does not make its engine go away: none is started beside it.
    const found = record.engine ? undefined : (await findProcesses(paths, 'engine'))[0];
    const earlier = found ? { ...record, engine: found } : record;
    this.#wasPromoted = earlier.promoted;
    const owner = {
      onEvent: (event: EngineEvent) => {
        this.#onEvent(event);
      },
      onLost: (reason: AgentError) => {
        this.#lose(reason);
        void this.#mailbox.run(() => this.#cleanUpLost());
      },
    };
    if (earlier.engine) {
      // `start` leaves no record behind: there is one because an earlier supervisor crashed.
      await ledger.openBeside();
      if (found) this.#wasPromoted = ledger.known().role === 'primary';
      try {
        if (!isAlive(earlier.engine))
          throw new AgentError('engine-failed', 'engine and supervisor ended unexpectedly');
        this.#session = await EngineSession.attach(earlier.engine, earlier.qemu, paths, owner, log);
        await this.#record();
      } catch (error) {
        this.#lose(toAgentError(error, 'engine-failed'));
        this.#survivors = await killAndWait([earlier.engine, ...(earlier.qemu ? [earlier.qemu] : [])]);
        await this.#record();
        throw error;
      }
    } else {
      await this.#record();
      await ledger.open();
      this.#session = await EngineSession.start(executable, paths, owner, log, async (engine) => {
        await ledger.record(engine, undefined, false);
      });
    }
    this.#phase = 'running';
    await this.#refresh();
  }

  #onEvent(event: EngineEvent): void {
    this.#parts.log.info({ event }, 'engine event');
    if (event.event === 'state') this.#health.see(event);
    if (event.event === 'peer-outdated') this.#peerOutdatedGeneration = event.generation;
    if (event.event !== 'fatal') this.#refreshSoon();
  }

  #refreshSoon(): void {
    void this.#mailbox
      .run(() => this.#refresh())
      .catch((error: unknown) => {
        // The ledger has told of it, once.
        if (error !== this.#parts.ledger.failure) this.#parts.log.warn(messageOf(error));
      });
  }

  /** Observe the engine, then write what follows: disk first, then record and scores. */
  async #refresh(): Promise<void> {
    const session = this.#session;
    if (this.#phase !== 'running' || !session) return;
    const engine = await this.#observe(session);
    try {
      const { ledger } = this.#parts;
      await ledger.saveAfter(engine);
      if (engine.role === 'secondary' || !ledger.writable) await ledger.probe();
    } finally {
      // A full disk must not leave the cluster with a score that no longer holds.
      if (engine.state === 'empty') await this.#publisher.askPeerDisks();
      this.#publish();
    }
    await this.#record();
    await this.#goSoloIfAllowed(session, engine);
  }

  async #goSoloIfAllowed(session: EngineSession, engine: EngineStatus): Promise<void> {
    const evidence = { engine, peer_outdated_generation: this.#peerOutdatedGeneration };
    if (!maySolo({ ...evidence, quorate: true }) || !maySolo({ ...evidence, quorate: await hasQuorum() }))
      return;
    const { ledger, log } = this.#parts;
    const generation = Math.max(engine.generation, ledger.known().generation) + 1;
    await ledger.beginGeneration(generation, () => session.enterSolo(generation));
    log.warn(
      { generation },
      `${engine.peer.node ?? 'the other node'} is outdated: going on without a replica`,
    );
  }

  async #observe(session: EngineSession): Promise<EngineStatus> {
    const engine = await session.status();
    this.#engine = engine;
    this.#receivingSince = engine.state === 'receiving' ? (this.#receivingSince ?? Date.now()) : undefined;
    this.#health.see(engine);
    this.#wasPromoted = engine.role === 'primary' && engine.state !== 'ended';
    return engine;
  }

  #publish(): void {
    this.#publisher.publish(this.#phase, this.#engine);
  }

  #running(): EngineSession {
    if (this.#phase !== 'running' || !this.#session) {
      throw (
        this.#failure ??
        new AgentError('not-running', `${this.#parts.launch.resource} does not run on this node`)
      );
    }
    return this.#session;
  }

  /** At once, not in the mailbox: every moment that the score stays, Pacemaker would restart here what runs there. */
  #lose(reason: AgentError): void {
    if (this.#phase === 'stopping') return;
    this.#phase = 'lost';
    this.#failure = reason;
    this.#parts.score.want(null);
    this.#publish();
    this.#parts.log.error({ code: reason.code }, `the engine is lost: ${reason.message}`);
    this.#reportLoss();
  }

  async #cleanUpLost(): Promise<void> {
    const session = this.#session;
    if (session) this.#survivors = await session.kill();
    if (this.#survivors.length > 0)
      this.#parts.log.error({ survivors: this.#survivors }, 'processes outlived SIGKILL');
    await this.#record();
  }

  /** For a demote: Pacemaker promotes the other node on its success, so the guest here must be gone, not only ordered to. */
  async #endGuest(): Promise<void> {
    if (this.#survivors.length > 0) this.#survivors = await killAndWait(this.#survivors);
    await this.#cleanUpLost();
    if (this.#survivors.length > 0) throw survivorError(this.#parts.launch.resource, this.#survivors);
    this.#demotedDead ||= this.#wasPromoted;
    this.#wasPromoted = false;
    await this.#record();
    // A score that is still there when the demote is done would have the same node promoted again.
    await this.#parts.score.settle(limits.cluster_tool_ms);
    this.#reportLoss();
  }

  /** Nothing waits for it. At the loss itself it is for a replica, after a demote for where the guest was. */
  #reportLoss(): void {
    if (this.#report !== 'none' || this.#wasPromoted) return;
    this.#report = 'due';
    const { launch, log } = this.#parts;
    const seen = () => ({ phase: this.#phase, was_promoted: this.#wasPromoted });
    void reportLoss({ launch, log, seen }).finally(() => {
      this.#report = 'over';
    });
  }

  #verdict(engine: EngineStatus | undefined, silence: string | undefined): MonitorVerdict {
    return decideMonitor({
      phase: this.#phase,
      engine,
      was_promoted: this.#wasPromoted,
      sync: this.#parts.ledger.durable?.sync,
      receiving_ms: this.#receivingSince === undefined ? undefined : Date.now() - this.#receivingSince,
      report_due: this.#report === 'due' && this.#demotedDead,
      failure: this.#failure?.message ?? silence,
    });
  }

  async #record(): Promise<void> {
    await this.#parts.ledger.record(this.#session?.engine, this.#session?.qemu, this.#wasPromoted);
  }
}
