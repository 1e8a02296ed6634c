// One host of the lab, from its power supply's point of view.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NETWORKS, nodeNumber, type Network } from '../networks.js';
import { setCables, wireNode } from './network.js';
import { childOf, inNamespaceOf } from './processes.js';

/** What makes fencing safe is the kill: it does not wait longer than this for the cables. */
const CABLES_TIMEOUT_MS = 1000;

export interface NodePaths {
  /** The lab's run folder. */
  readonly run: string;
  /** The script that is PID 1 of a node. */
  readonly boot: string;
}

interface Running {
  readonly process: ChildProcess;
  readonly init: number;
}

export class LabNode {
  readonly name: string;
  readonly #paths: NodePaths;
  readonly #pulled = new Set<Network>();
  #running: Running | undefined;
  #wasOn = false;

  constructor(name: string, paths: NodePaths) {
    this.name = name;
    this.#paths = paths;
  }

  get isOn(): boolean {
    return this.#running !== undefined;
  }

  /** Powers the host on and returns when its PID 1 exists; it boots on. Nothing happens when it is on. */
  async on(): Promise<void> {
    if (this.#running) return;
    await wireNode(this.name, !this.#wasOn);
    this.#wasOn = true;
    await this.#cables('up');
    const disk = join(this.#paths.run, 'disks', this.name);
    await mkdir(disk, { recursive: true });
    const console = await open(join(this.#paths.run, `${this.name}.console`), 'a');
    const process = spawn(
      'ip',
      [
        ...['netns', 'exec', this.name],
        ...['unshare', '--mount', '--propagation', 'private', '--uts', '--ipc', '--pid', '--fork'],
        ...['--kill-child=SIGKILL', '--mount-proc'],
        ...[this.#paths.boot, this.name, disk, String(nodeNumber(this.name))],
      ],
      { stdio: ['ignore', console.fd, console.fd] },
    );
    await console.close();
    if (process.pid === undefined) throw new Error(`${this.name} could not be started`);
    const init = await childOf(process.pid);
    await writeFile(this.#pidFile, `${init}\n`);
    const running = { process, init };
    this.#running = running;
    process.once('exit', () => {
      if (this.#running === running) this.#running = undefined;
      rmSync(this.#pidFile, { force: true });
    });
  }

  /**
   * Cuts the power: SIGKILL of PID 1. Returns when the kernel has ended every process of the host, which is when it
   * lets the namespace's PID 1 be reaped.
   */
  async off(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    // Cables first: the kernel would say good-bye on the dead processes' connections, a host without power does not.
    const cables = this.#cables('down').catch(() => undefined);
    await Promise.race([cables, sleep(CABLES_TIMEOUT_MS)]);
    const ended = once(running.process, 'exit');
    process.kill(running.init, 'SIGKILL');
    await ended;
    this.#running = undefined;
  }

  /** Stops or continues every process of the host: one that hangs, its cables still in. */
  async signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    if (!this.#running) throw new Error(`${this.name} is off`);
    for (const pid of await inNamespaceOf(this.#running.init)) {
      try {
        process.kill(pid, signal);
      } catch {
        // It ended meanwhile.
      }
    }
  }

  /** Pulls one cable; power cycles do not mend it. */
  async cut(network: Network): Promise<void> {
    this.#pulled.add(network);
    await setCables(this.name, [network], 'down');
  }

  async uncut(network: Network): Promise<void> {
    this.#pulled.delete(network);
    if (this.#running) await setCables(this.name, [network], 'up');
  }

  get #pidFile(): string {
    return join(this.#paths.run, `${this.name}.pid`);
  }

  async #cables(state: 'up' | 'down'): Promise<void> {
    const cables = NETWORKS.filter((network) => state === 'down' || !this.#pulled.has(network));
    await setCables(this.name, cables, state);
  }
}
