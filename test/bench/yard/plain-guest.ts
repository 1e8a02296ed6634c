// The unprotected guest: plain QEMU on a TAP device (vhost off), with the protected guest's own command line.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Place } from '../../lab/place.js';
import { waitFor } from '../../lab/wait-for.js';
import { plainCommand } from './plain-command.js';
import type { Yard } from './yard.js';

const START_TIMEOUT_MS = 20_000;
/**
 * With a parent that is not stopped with it, and that has nothing to say of its end: the end of this process is the end of
 * the yard, and that its end.
 */
const START = '"${@:2}" & echo $! >"$1"; wait $! 2>/dev/null';

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
  readonly #host: Place;
  readonly #command: readonly string[];
  readonly #pidFile: string;
  #pid = 0;
  /** When it has ended. */
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(host: Place, address: string, command: readonly string[], pidFile: string) {
    this.#host = host;
    this.address = address;
    this.#command = command;
    this.#pidFile = pidFile;
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
    const guest = new PlainGuest(host, address, command, join(yard.run, `${name}.pid`));
    await guest.#boot();
    return guest;
  }

  async #boot(): Promise<void> {
    await rm(this.#pidFile, { force: true });
    const { child } = await this.#host.start(['bash', '-c', START, 'plain', this.#pidFile, ...this.#command]);
    this.#ended = child.then(() => undefined);
    this.#pid = await waitFor(
      'the unprotected QEMU',
      async () => Number(await readFile(this.#pidFile, 'utf8').catch(() => '')) || undefined,
      { timeout_ms: START_TIMEOUT_MS, interval_ms: 10 },
    );
  }

  /** Ends it, and starts it anew. */
  async reboot(): Promise<void> {
    await this.end();
    await this.#boot();
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

  async end(): Promise<void> {
    await this.#signal('KILL');
    await this.#ended;
  }

  async #signal(name: 'STOP' | 'CONT' | 'KILL'): Promise<void> {
    await this.#host.run(['kill', `-${name}`, String(this.#pid)]);
  }
}
