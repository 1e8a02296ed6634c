// The unprotected guest: plain QEMU on a TAP device (vhost off), with the protected guest's own command line.
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { waitFor } from '../../lab/wait-for.js';
import { LineReader } from './line-reader.js';
import { plainCommand } from './plain-command.js';
import type { Yard } from './yard.js';

const START_TIMEOUT_MS = 20_000;

export interface PlainOptions {
  readonly name: string;
  readonly host: string;
  readonly mac: string;
  readonly address: string;
  /** Process id of the protected guest's QEMU, on the same host. */
  readonly like: number;
}

export class PlainGuest {
  readonly address: string;
  readonly #socket: Socket;
  readonly #lines: LineReader;

  private constructor(address: string, socket: Socket) {
    this.address = address;
    this.#socket = socket;
    this.#lines = new LineReader(socket, 'the unprotected QEMU has ended');
  }

  static async start(yard: Yard, options: PlainOptions): Promise<PlainGuest> {
    const { name, mac, address } = options;
    const host = yard.host(options.host);
    const qmp = join(yard.run, `${name}.qmp`);
    const words = (await host.run(['cat', `/proc/${options.like}/cmdline`])).split('\0');
    const command = plainCommand(words.slice(0, -1), {
      ...{ tap: name, mac, address, qmp },
      console_log: join(yard.run, `${name}.console`),
    });
    await host.run(['ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap']);
    await host.run(['ip', 'link', 'set', 'dev', name, 'master', 'br0', 'up']);
    // The end of this process is the end of the yard, and that its end.
    await host.start(command);
    const socket = await waitFor('QMP of the unprotected guest', () => open(qmp), {
      timeout_ms: START_TIMEOUT_MS,
    });
    const guest = new PlainGuest(address, socket);
    await guest.#next();
    await guest.#execute('qmp_capabilities');
    return guest;
  }

  /** Lets it stand still, while another guest is measured. */
  async rest(): Promise<void> {
    await this.#execute('stop');
  }

  async wake(): Promise<void> {
    await this.#execute('cont');
  }

  async end(): Promise<void> {
    await this.#execute('quit').catch(() => undefined);
    this.#socket.destroy();
  }

  async #execute(command: string): Promise<void> {
    this.#socket.write(`${JSON.stringify({ execute: command })}\n`);
    for (;;) {
      const answer = await this.#next();
      if ('return' in answer) return;
      if ('error' in answer) throw new Error(`QEMU refuses ${command}: ${JSON.stringify(answer)}`);
    }
  }

  async #next(): Promise<object> {
    return JSON.parse(await this.#lines.next()) as object;
  }
}

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  // The end of QEMU is seen by whoever waits for its answer.
  socket.on('error', () => undefined);
  return socket;
}
