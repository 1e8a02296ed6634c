// Somewhere in the lab where commands can run: a node, or the client's network namespace.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

const EXEC_TIMEOUT_MS = 120_000;
const ENVIRONMENT = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
};

/** How a command ended. The caller judges it: a non-zero exit is not thrown. */
export interface ExecResult {
  readonly exit_code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly input?: string;
  readonly timeout_ms?: number;
}

export class Place {
  readonly name: string;
  /** Arguments of nsenter that lead here. */
  readonly #enter: () => Promise<string[]>;

  private constructor(name: string, enter: () => Promise<string[]>) {
    this.name = name;
    this.#enter = enter;
  }

  static node(run: string, hubPid: number, name: string): Place {
    return new Place(name, async () => {
      // Read each time: every boot has a new PID 1, and a node without power has none.
      const init = await readFile(join(run, `${name}.pid`), 'utf8').catch(() => {
        throw new Error(`${name} is off`);
      });
      return [
        ...['--target', String(hubPid), '--mount', '--pid', '--net', '--'],
        ...['nsenter', '--target', init.trim(), '--mount', '--uts', '--ipc', '--net', '--pid', '--'],
      ];
    });
  }

  /** A named network namespace of the hub's. */
  static namespace(hubPid: number, name: string): Place {
    const enter = [
      '--target',
      String(hubPid),
      '--mount',
      '--pid',
      '--net',
      '--',
      'ip',
      'netns',
      'exec',
      name,
    ];
    return new Place(name, () => Promise.resolve(enter));
  }

  /** Runs a command and waits for its end, at most `timeout_ms`. */
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const seconds = (options.timeout_ms ?? EXEC_TIMEOUT_MS) / 1000;
    // The limit is kept inside: a signal to nsenter would not reach what it has started there.
    const limited = ['timeout', '--kill-after=1', String(seconds), ...command];
    const result = await execa('nsenter', [...(await this.#enter()), ...limited], {
      env: ENVIRONMENT,
      extendEnv: false,
      reject: false,
      input: options.input ?? '',
    });
    return { exit_code: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  }

  /** As exec, but throws what the command printed when it fails. */
  async run(command: readonly string[], options: ExecOptions = {}): Promise<string> {
    const { exit_code, stdout, stderr } = await this.exec(command, options);
    if (exit_code === 0) return stdout;
    throw new Error(
      `${command.join(' ')} on ${this.name}: exit ${exit_code ?? 'by a signal'}: ${stderr}\n${stdout}`.trim(),
    );
  }

  /**
   * Starts a command that runs on. Its standard input ends when this process does; what is started here must take
   * that as its own end.
   */
  async start(command: readonly string[]) {
    const child = execa('nsenter', [...(await this.#enter()), ...command], {
      env: ENVIRONMENT,
      extendEnv: false,
      reject: false,
      buffer: false,
      stdin: 'pipe',
      stderr: 'inherit',
    });
    // In an object: a child is a promise of its end, which returning it from here would wait for.
    return { child };
  }
}
