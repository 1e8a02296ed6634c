import { connect, type Socket } from 'node:net';
import { AgentError } from './error.js';
import { limits } from './limits.js';

export type Message = Readonly<Record<string, unknown>>;

const NEWLINE = 0x0a;
/** What is read at once: a status, and more. */
const READ_BYTES = 16 * 1024;

interface Pending {
  resolve(reply: Message): void;
  reject(error: AgentError): void;
  readonly timer: NodeJS.Timeout;
}

/** Cuts a stream into lines. A line longer than the limit is refused before it fills the memory. */
export function lineSplitter(onLine: (line: string) => void, onTooLong: () => void): (chunk: Buffer) => void {
  let pieces: Buffer[] = [];
  let held = 0;
  return (chunk) => {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const last = chunk.subarray(start, end);
      const line = pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
      pieces = [];
      held = 0;
      start = end + 1;
      if (line.length > 0) onLine(line.toString());
    }
    held += chunk.length - start;
    if (held > limits.line_bytes) {
      pieces = [];
      held = 0;
      onTooLong();
    } else if (start < chunk.length) {
      // A copy: what chunks are read into may be used again.
      pieces.push(Buffer.from(chunk.subarray(start)));
    }
  };
}

/** @returns the message, or undefined when the line is not a JSON object. */
export function parseLine(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Message)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The asking end of a control socket: JSON lines `{"v":1,"id":N,...}`, answers matched by id, each with a time-out.
 * Content is checked by who asks; only the envelope is checked here, because `monitor` loads nothing else.
 */
export class LineChannel {
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #closed: AgentError | undefined;
  onEvent: (event: Message) => void = () => undefined;
  onClose: (why: AgentError) => void = () => undefined;

  private constructor(path: string, peer: string) {
    this.#peer = peer;
    const split = lineSplitter(
      (line) => {
        this.#receive(line);
      },
      () => {
        this.#end(new AgentError('protocol', `${peer} sent a line of more than ${limits.line_bytes} bytes`));
      },
    );
    // Read into one buffer: what else a stream can do with its data would be loaded by every monitor.
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const onread = {
      buffer,
      callback: (bytes: number) => {
        split(buffer.subarray(0, bytes));
        return true;
      },
    };
    this.#socket = connect({ path, onread });
    this.#socket.on('error', (error) => {
      this.#end(new AgentError('not-running', `${peer}: ${error.message}`, { cause: error }));
    });
    this.#socket.on('close', () => {
      this.#end(new AgentError('not-running', `${peer} closed the connection`));
    });
  }

  /**
   * @param peer what the other end is called in an error
   * @throws AgentError not-running when nobody listens, timeout
   */
  static open(path: string, peer: string, timeoutMs: number): Promise<LineChannel> {
    return new Promise((resolve, reject) => {
      const channel = new LineChannel(path, peer);
      const timer = setTimeout(() => {
        channel.close();
        reject(new AgentError('timeout', `${peer} did not accept a connection within ${timeoutMs} ms`));
      }, timeoutMs);
      channel.#socket.once('connect', () => {
        clearTimeout(timer);
        resolve(channel);
      });
      channel.#socket.once('error', (error) => {
        clearTimeout(timer);
        reject(new AgentError('not-running', `${peer} does not listen on ${path}`, { cause: error }));
      });
    });
  }

  /** @throws AgentError timeout, not-running (connection lost), protocol */
  request(body: Message, timeoutMs: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(this.#closed);
        return;
      }
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new AgentError('timeout', `${this.#peer} did not answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ v: 1, id, ...body })}\n`);
    });
  }

  close(): void {
    this.onClose = () => undefined;
    this.#end(new AgentError('not-running', `the connection to ${this.#peer} was closed`));
  }

  #receive(line: string): void {
    const message = parseLine(line);
    if (message?.['v'] !== 1) {
      this.#end(new AgentError('protocol', `${this.#peer} does not speak version 1: ${line.slice(0, 100)}`));
      return;
    }
    if (typeof message['event'] === 'string') {
      this.onEvent(message);
      return;
    }
    const id = message['id'];
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    // The answer to a request that timed out: nobody waits for it.
    if (!pending || typeof id !== 'number') return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    pending.resolve(message);
  }

  #end(why: AgentError): void {
    if (this.#closed) return;
    this.#closed = why;
    this.#socket.destroy();
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(why);
    }
    this.#pending.clear();
    this.onClose(why);
  }
}
