import { AgentError, errorCodes, type ErrorCode } from '../common/error.js';
import { LineChannel, type Message } from '../common/line-channel.js';
import type { LogLevel } from '../common/log-level.js';
import type { Flow } from './decide-sickness.js';
import type { Tuning } from '../common/tuning.js';

/**
 * The actions' end of supervisor.sock. It is on the path of every monitor, so it loads no schema library; both ends
 * are of one installation, and what is used of an answer is checked by hand.
 */
export interface SupervisorStatus {
  readonly phase: string;
  readonly monitor: { readonly code: number; readonly recurring: number; readonly reason: string | null };
  readonly failure: { readonly code: ErrorCode; readonly message: string } | null;
  /** Why the guest is held for sick, if it is. */
  readonly sick: string | null;
  readonly flow: Flow;
  /** Everything, for `kemari status`. */
  readonly details: Message;
}

type Command =
  | { readonly command: 'ping' | 'status' }
  | { readonly command: 'stop'; readonly shutdown_ms: number }
  | { readonly command: 'promote' | 'check'; readonly timeout_ms: number }
  | { readonly command: 'demote'; readonly timeout_ms: number; readonly shutdown_ms: number }
  | { readonly command: 'health'; readonly sick: string | null }
  | { readonly command: 'reload'; readonly tuning: Tuning; readonly log_level: LogLevel };

function isObject(value: unknown): value is Message {
  return typeof value === 'object' && value !== null;
}

function errorCode(value: unknown): ErrorCode {
  return errorCodes.find((code) => code === value) ?? 'protocol';
}

/** @throws AgentError what the supervisor says, not-running when there is none, timeout when it hangs */
export async function askSupervisor(socket: string, command: Command, timeoutMs: number): Promise<Message> {
  const channel = await LineChannel.open(socket, 'the supervisor', timeoutMs);
  try {
    const reply = await channel.request(command, timeoutMs);
    if (isObject(reply['ok'])) return reply['ok'];
    const error = reply['error'];
    if (isObject(error) && typeof error['message'] === 'string') {
      throw new AgentError(errorCode(error['code']), error['message']);
    }
    throw new AgentError('protocol', 'the supervisor gave neither an answer nor an error');
  } finally {
    // A turn later: a monitor has ended by then, and is spared it.
    setImmediate(() => {
      channel.close();
    });
  }
}

/** Nothing flows of which nothing is known. */
function flowOf(value: unknown): Flow {
  const { flowing_ms, braked, generation } = isObject(value) ? value : {};
  return {
    flowing_ms: typeof flowing_ms === 'number' ? flowing_ms : null,
    braked: braked !== false,
    generation: typeof generation === 'number' ? generation : 0,
  };
}

/** @throws AgentError like askSupervisor */
export async function supervisorStatus(socket: string, timeoutMs: number): Promise<SupervisorStatus> {
  const details = await askSupervisor(socket, { command: 'status' }, timeoutMs);
  const { phase, monitor, failure, sick, flow } = details as Readonly<Partial<Record<string, unknown>>>;
  if (
    typeof phase !== 'string' ||
    !isObject(monitor) ||
    typeof monitor['code'] !== 'number' ||
    typeof monitor['recurring'] !== 'number'
  ) {
    throw new AgentError(
      'protocol',
      "the supervisor's status is not of this version: stop and start the resource",
    );
  }
  const reason = monitor['reason'];
  return {
    phase,
    monitor: {
      code: monitor['code'],
      recurring: monitor['recurring'],
      reason: typeof reason === 'string' ? reason : null,
    },
    failure:
      isObject(failure) && typeof failure['message'] === 'string'
        ? { code: errorCode(failure['code']), message: failure['message'] }
        : null,
    sick: typeof sick === 'string' ? sick : null,
    flow: flowOf(flow),
    details,
  };
}
