// The unprotected guest: plain QEMU on a TAP device (vhost off), with the protected guest's own command line.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '../../lab/wait-for.js';
import { plainCommand } from './plain-command.js';
import type { Yard } from './yard.js';

const START_TIMEOUT_MS = 20_000;
/** With a parent that is not stopped with it. */
const START = '"${@:2}" & echo $! >"$1"; wait $!';

export interface PlainOptions {
  readonly name: string;
  readonly host: string;
  readonly mac: string;
  readonly address: string;
  /** Process id of the protected guest's QEMU, on the same host. */
  readonly like: number;
}

type Signal = (name: 'STOP' | 'CONT' | 'KILL') => Promise<void>;

export class PlainGuest {
  readonly address: string;
  readonly #signal: Signal;

  private constructor(address: string, signal: Signal) {
    this.address = address;
    this.#signal = signal;
  }

  static async start(yard: Yard, options: PlainOptions): Promise<PlainGuest> {
    const { name, mac, address } = options;
    const host = yard.host(options.host);
    const words = (await host.run(['cat', `/proc/${options.like}/cmdline`])).split('\0');
    const command = plainCommand(words.slice(0, -1), {
      ...{ tap: name, mac, address },
      console_log: join(yard.run, `${name}.console`),
    });
    await host.run(['ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap']);
    await host.run(['ip', 'link', 'set', 'dev', name, 'master', 'br0', 'up']);
    const file = join(yard.run, `${name}.pid`);
    // The end of this process is the end of the yard, and that its end.
    await host.start(['bash', '-c', START, 'plain', file, ...command]);
    const pid = await waitFor(
      'the unprotected QEMU',
      async () => Number(await readFile(file, 'utf8').catch(() => '')) || undefined,
      { timeout_ms: START_TIMEOUT_MS, interval_ms: 10 },
    );
    return new PlainGuest(address, async (signal) => {
      await host.run(['kill', `-${signal}`, String(pid)]);
    });
  }

  /**
   * Lets it stand still, while another guest is measured. Not by QMP: a QEMU that is told to stop while packets arrive
   * sometimes takes none from its TAP device any more.
   */
  rest(): Promise<void> {
    return this.#signal('STOP');
  }

  wake(): Promise<void> {
    return this.#signal('CONT');
  }

  end(): Promise<void> {
    return this.#signal('KILL');
  }
}
