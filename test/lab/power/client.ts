// The owner's hand on the power switches.
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import type { Network } from '../networks.js';

export interface PowerEvent {
  readonly time_ms: number;
  readonly event: string;
  readonly node: string;
}

export class Power {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  on(node: string): Promise<string> {
    return this.#ask(`on ${node}`);
  }

  /** An orderly controller's off: returns when nothing of the node runs. */
  off(node: string): Promise<string> {
    return this.#ask(`off ${node}`);
  }

  /** A power failure: SIGKILL of everything on the node. */
  crash(node: string): Promise<string> {
    return this.#ask(`crash ${node}`);
  }

  hang(node: string): Promise<string> {
    return this.#ask(`hang ${node}`);
  }

  unhang(node: string): Promise<string> {
    return this.#ask(`unhang ${node}`);
  }

  /** Pulls a cable of the node. */
  cut(node: string, network: Network): Promise<string> {
    return this.#ask(`cut ${node} ${network}`);
  }

  uncut(node: string, network: Network): Promise<string> {
    return this.#ask(`uncut ${node} ${network}`);
  }

  async isOn(node: string): Promise<boolean> {
    return (await this.#ask(`status ${node}`)) === 'OK on';
  }

  /** Calls `listener` for everything that happens to any node's power from now on, until the lab ends. */
  watch(listener: (event: PowerEvent) => void): void {
    const socket = createConnection(this.#path);
    socket.on('error', () => socket.destroy());
    socket.write('watch\n');
    createInterface({ input: socket }).on('line', (line) => {
      listener(JSON.parse(line) as PowerEvent);
    });
  }

  #ask(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(this.#path);
      socket.once('error', reject);
      socket.once('close', () => {
        reject(new Error(`the power controller did not answer "${line}"`));
      });
      createInterface({ input: socket }).once('line', (answer) => {
        socket.destroy();
        if (answer.startsWith('OK')) resolve(answer);
        else reject(new Error(`the power controller refused "${line}": ${answer}`));
      });
      socket.write(`${line}\n`);
    });
  }
}
