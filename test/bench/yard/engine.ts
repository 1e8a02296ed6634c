// One engine on a host of the yard, without a supervisor: the benchmark gives the orders.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { EngineSpec } from '../../../src/config/engine-spec.js';
import { EngineClient } from '../../../src/engine/client.js';
import type { EngineState, EngineStatus } from '../../../src/engine/messages.js';
import { PROJECT } from '../../lab/project.js';
import { waitFor } from '../../lab/wait-for.js';
import type { Yard } from './yard.js';

const START_TIMEOUT_MS = 60_000;
const STATE_TIMEOUT_MS = 120_000;
const PROMOTE_TIMEOUT_MS = 60_000;
/** Clock ticks of /proc/PID/stat per second (USER_HZ of x86). */
const TICKS_PER_SECOND = 100;

/** A line of the log that says which state was entered. */
const stateEntry = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ timestamp: v.string(), message: v.literal('state'), state: v.string() }),
);

/** A line of the log that says from what a replica has been promoted. */
const promotionEntry = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ message: v.literal('promoted'), replayed: v.number() }),
);

/** What a process has used so far, and holds. */
export interface Usage {
  readonly cpu_seconds: number;
  /** Memory that is its own: guest RAM is shared with QEMU. */
  readonly own_mib: number;
}

export class BenchEngine {
  readonly host: string;
  readonly #yard: Yard;
  readonly #pid: number;
  readonly #log: string;
  readonly #client: EngineClient;

  private constructor(host: string, yard: Yard, pid: number, log: string, client: EngineClient) {
    this.host = host;
    this.#yard = yard;
    this.#pid = pid;
    this.#log = log;
    this.#client = client;
  }

  /** Starts it; returns when it answers. */
  static async start(yard: Yard, host: string, spec: EngineSpec): Promise<BenchEngine> {
    const folder = spec.runtime_dir;
    const [file, log, pidFile] = ['spec.json', 'engine.log', 'pid'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await rm(spec.control_socket, { force: true });
    await writeFile(file, JSON.stringify(spec));
    const script = 'echo $$ >"$1"; exec 2>>"$2" >/dev/null </dev/null; exec "${@:3}"';
    const command = [join(PROJECT, 'dist/kemari-engine'), '--spec', file];
    const { child } = await yard.host(host).start(['bash', '-c', script, 'engine', pidFile, log, ...command]);
    let ended = false;
    void child.then(() => (ended = true));
    try {
      const client = await waitFor(
        `the engine on ${host}`,
        () => (ended ? Promise.reject(new Error('it has ended')) : EngineClient.open(spec.control_socket)),
        { timeout_ms: START_TIMEOUT_MS, interval_ms: 20 },
      );
      return new BenchEngine(host, yard, Number(await readFile(pidFile, 'utf8')), log, client);
    } catch (error) {
      const said = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').at(-1);
      throw new Error(`the engine on ${host} did not start: ${said ?? ''}`, { cause: error });
    }
  }

  get control(): EngineClient {
    return this.#client;
  }

  status(): Promise<EngineStatus> {
    return this.#client.status();
  }

  async promote(mode: 'cold' | 'hot', generation: number): Promise<void> {
    await this.#client.promote(mode, generation, PROMOTE_TIMEOUT_MS);
  }

  /** Waits for a state, and returns the status that has it. */
  async reached(state: EngineState): Promise<EngineStatus> {
    let last = '';
    try {
      return await waitFor(
        `${state} on ${this.host}`,
        async () => {
          const status = await this.status();
          last = `${status.role} ${status.state}${status.last_error === null ? '' : `, ${status.last_error}`}`;
          return status.state === state && status;
        },
        { timeout_ms: STATE_TIMEOUT_MS, interval_ms: 10 },
      );
    } catch (error) {
      throw new Error(`the engine on ${this.host} was last ${last}`, { cause: error });
    }
  }

  /** When it has entered each of its states for the last time (ms since 1970), as its log says. */
  async stateTimes_ms(): Promise<ReadonlyMap<string, number>> {
    return parseStateTimes(await readFile(this.#log, 'utf8'));
  }

  /** How many packets of the former primary's it has sent again when it was promoted, before the guest ran. */
  async replayed(): Promise<number> {
    return parseReplayed(await readFile(this.#log, 'utf8'));
  }

  async usage(): Promise<Usage> {
    const place = this.#yard.host(this.host);
    const text = await place.run(['cat', `/proc/${this.#pid}/stat`, `/proc/${this.#pid}/status`]);
    return parseUsage(text);
  }

  /** As when its host dies: no farewell, and its QEMU dies with it. */
  async kill(): Promise<void> {
    this.#client.close();
    await this.#yard.host(this.host).run(['kill', '-KILL', String(this.#pid)]);
    await waitFor(
      `the end of the engine on ${this.host}`,
      async () => (await this.#yard.host(this.host).exec(['kill', '-0', String(this.#pid)])).exit_code !== 0,
      { timeout_ms: 20_000, interval_ms: 10 },
    );
  }
}

/** When each state was entered for the last time, from an engine's log. */
export function parseStateTimes(log: string): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const line of log.split('\n')) {
    const entry = v.safeParse(stateEntry, line);
    if (entry.success) times.set(entry.output.state, Date.parse(entry.output.timestamp));
  }
  return times;
}

/** Packets that were sent again at the last promotion, from an engine's log. */
export function parseReplayed(log: string): number {
  const entries = log.split('\n').flatMap((line) => {
    const entry = v.safeParse(promotionEntry, line);
    return entry.success ? [entry.output.replayed] : [];
  });
  const last = entries.at(-1);
  if (last === undefined) throw new Error('the log does not tell of a promotion');
  return last;
}

/** Reads /proc/PID/stat followed by /proc/PID/status. */
export function parseUsage(text: string): Usage {
  // The command's name, in parentheses, may hold anything; what follows the last one is fixed: proc(5).
  const stat = text.split('\n')[0] ?? '';
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const own_kib = /^RssAnon:\s+(\d+) kB$/m.exec(text)?.[1];
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (own_kib === undefined || Number.isNaN(ticks)) throw new Error(`this is no process: ${stat}`);
  return { cpu_seconds: ticks / TICKS_PER_SECOND, own_mib: Number(own_kib) / 1024 };
}
