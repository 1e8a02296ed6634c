// The process whose end is the end of a lab: its script, PID 1 of the lab's own PID namespace. It lives as long as this
// process holds the other end of its standard input; when this process dies, however, the pipe's end is seen there.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { childOf } from './power/processes.js';

const SHUTDOWN_TIMEOUT_MS = 20_000;

export class Hub {
  /** The hub's PID 1 as this process's namespace counts. */
  readonly pid: number;
  /** Settles when the lab is gone. */
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, pid: number, ended: Promise<void>) {
    this.#process = process;
    this.pid = pid;
    this.ended = ended;
  }

  /** Starts a lab's hub, which logs into the run folder; `script` (with its arguments) ends when its standard input does. */
  static async start(run: string, script: readonly string[]): Promise<Hub> {
    const log = await open(join(run, 'hub.log'), 'a');
    const process = spawn(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', '--net', '--pid', '--fork', '--kill-child=SIGKILL'],
        ...['--mount-proc', ...script],
      ],
      // A session of its own: Ctrl-C is for the owner, who ends the lab in good order.
      { stdio: ['pipe', log.fd, log.fd], detached: true },
    );
    const ended = once(process, 'exit').then(() => undefined);
    await log.close();
    if (process.pid === undefined) throw new Error('unshare could not be started: install util-linux');
    return new Hub(process, await childOf(process.pid), ended);
  }

  /** Ends the lab and returns when nothing of it is left. */
  async stop(): Promise<void> {
    this.#process.stdin?.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), SHUTDOWN_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }
}
