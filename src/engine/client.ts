import * as v from 'valibot';
import { AgentError, quote } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { LogLevel } from '../common/log-level.js';
import { LineChannel, type Message } from '../common/line-channel.js';
import {
  configureReply,
  demoteReply,
  emptyReply,
  engineEvent,
  promoteReply,
  replyEnvelope,
  statusReply,
  type DemoteOutcome,
  type EngineCommand,
  nothingChangedCodes,
  type EngineEvent,
  type EngineStatus,
  type TuningChange,
} from './messages.js';

/** The engine said no: its code decides whether anything has changed. */
export class EngineRefusal extends AgentError {
  readonly engine_code: string;

  constructor(engineCode: string, message: string) {
    super(engineCode === 'bad-request' ? 'protocol' : 'refused', message);
    this.engine_code = engineCode;
  }

  get nothing_changed(): boolean {
    return nothingChangedCodes.some((code) => code === this.engine_code);
  }
}

function check<Output>(schema: v.GenericSchema<unknown, Output>, reply: Message): Output {
  const outer = v.safeParse(replyEnvelope, reply);
  if (!outer.success)
    throw new AgentError('protocol', `the engine's answer is not of the protocol: ${issue(outer)}`);
  if ('error' in outer.output) throw new EngineRefusal(outer.output.error.code, outer.output.error.message);
  const inner = v.safeParse(schema, outer.output.ok);
  if (!inner.success)
    throw new AgentError('protocol', `the engine's answer is not of the protocol: ${issue(inner)}`);
  return inner.output;
}

function issue(result: { issues: readonly v.BaseIssue<unknown>[] | undefined }): string {
  const first = result.issues?.[0];
  return first ? `${quote(v.getDotPath(first) ?? 'message')}: ${quote(first.message)}` : 'unknown';
}

/** One connection to an engine's control socket. */
export class EngineClient {
  readonly #channel: LineChannel;

  private constructor(channel: LineChannel) {
    this.#channel = channel;
  }

  /** @throws AgentError not-running, timeout */
  static async open(socket: string): Promise<EngineClient> {
    return new EngineClient(await LineChannel.open(socket, 'the engine', limits.status_ms));
  }

  /** Events of this connection from now on; a message that is no event of the protocol ends the connection. */
  async subscribe(onEvent: (event: EngineEvent) => void, onClose: (why: AgentError) => void): Promise<void> {
    this.#channel.onClose = onClose;
    this.#channel.onEvent = (message) => {
      const event = v.safeParse(engineEvent, message);
      if (event.success) {
        onEvent(event.output);
      } else {
        this.#channel.close();
        onClose(
          new AgentError('protocol', `the engine sent an event that is not of the protocol: ${issue(event)}`),
        );
      }
    };
    await this.#ask({ command: 'subscribe' }, emptyReply, limits.status_ms);
  }

  async status(): Promise<EngineStatus> {
    return (await this.#ask({ command: 'status' }, statusReply, limits.status_ms)).status;
  }

  async promote(mode: 'cold' | 'hot', generation: number, timeoutMs: number): Promise<void> {
    await this.#ask({ command: 'promote', mode, generation }, promoteReply, timeoutMs);
  }

  async demote(timeoutMs: number): Promise<DemoteOutcome> {
    const command = { command: 'demote', timeout_ms: Math.floor(timeoutMs) } as const;
    // The engine keeps the bound itself; this one is for an engine that hangs.
    return (await this.#ask(command, demoteReply, timeoutMs + limits.action_margin_ms / 2)).demoted;
  }

  async enterSolo(generation: number): Promise<void> {
    await this.#ask({ command: 'enter-solo', generation }, emptyReply, limits.engine_command_ms);
  }

  /** Changes how the guest is kept in step, now and for as long as this engine lives. */
  async configure(tuning: TuningChange): Promise<void> {
    await this.#ask({ command: 'configure', tuning }, configureReply, limits.engine_command_ms);
  }

  /** Asks the guest to power itself off; returns when it has been asked. */
  async pressPowerButton(): Promise<void> {
    await this.#ask({ command: 'press-power-button' }, emptyReply, limits.engine_command_ms);
  }

  /** Ends the guest as if it had powered itself off: no replica of it goes on. Its state becomes `ended` some time later. */
  async endGuest(): Promise<void> {
    await this.#ask({ command: 'end-guest' }, emptyReply, limits.engine_command_ms);
  }

  /** Has QEMU say how the guest is. @throws EngineRefusal guest-broken */
  async checkGuest(timeoutMs: number): Promise<void> {
    await this.#ask({ command: 'check-guest' }, emptyReply, timeoutMs);
  }

  /** Makes the engine log so much from now on. */
  async logLevel(level: LogLevel): Promise<void> {
    await this.#ask({ command: 'log-level', level }, emptyReply, limits.engine_command_ms);
  }

  /** The quantiles of the status are from now on those of what follows. */
  async restartStatistics(): Promise<void> {
    await this.#ask({ command: 'restart-statistics' }, emptyReply, limits.engine_command_ms);
  }

  async stop(): Promise<void> {
    await this.#ask({ command: 'stop' }, emptyReply, limits.engine_stop_ms);
  }

  close(): void {
    this.#channel.close();
  }

  async #ask<Output>(
    command: EngineCommand,
    schema: v.GenericSchema<unknown, Output>,
    timeoutMs: number,
  ): Promise<Output> {
    return check(schema, await this.#channel.request(command, timeoutMs));
  }
}

/** One question on a connection of its own: a command that takes long must not hold up the others. */
export async function withEngine<Result>(
  socket: string,
  use: (engine: EngineClient) => Promise<Result>,
): Promise<Result> {
  const engine = await EngineClient.open(socket);
  try {
    return await use(engine);
  } finally {
    engine.close();
  }
}
