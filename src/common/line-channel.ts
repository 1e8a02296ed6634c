import { connect, type Socket } from 'node:net';
import { AgentError } from './error.js';
import { limits } from './limits.js';

export type Message = Readonly<Record<string, unknown>>;

interface Pending {
  resolve(reply: Message): void;
  reject(error: AgentError): void;
  readonly timer: NodeJS.Timeout;
}

/** Cuts a stream into lines. A line longer than the limit is refused before it fills the memory. */
export function lineSplitter(onLine: (line: string) => void, onTooLong: () => void): (chunk: string) => void {
  let rest = '';
  return (chunk) => {
    rest += chunk;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      if (line !== '') onLine(line);
    }
    if (rest.length > limits.line_bytes) {
      rest = '';
      onTooLong();
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

  private constructor(socket: Socket, peer: string) {
    this.#socket = socket;
    this.#peer = peer;
    socket.setEncoding('utf8');
    const split = lineSplitter(
      (line) => {
        this.#receive(line);
      },
      () => {
        this.#end(new AgentError('protocol', `${peer} sent a line of more than ${limits.line_bytes} bytes`));
      },
    );
    socket.on('data', split);
    socket.on('error', (error) => {
      this.#end(new AgentError('not-running', `${peer}: ${error.message}`, { cause: error }));
    });
    socket.on('close', () => {
      this.#end(new AgentError('not-running', `${peer} closed the connection`));
    });
  }

  /**
   * @param peer what the other end is called in an error
   * @throws AgentError not-running when nobody listens, timeout
   */
  static open(path: string, peer: string, timeoutMs: number): Promise<LineChannel> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new AgentError('timeout', `${peer} did not accept a connection within ${timeoutMs} ms`));
      }, timeoutMs);
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        resolve(new LineChannel(socket, peer));
      });
      socket.once('error', (error) => {
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
