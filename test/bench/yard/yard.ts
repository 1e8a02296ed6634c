// The place where the benchmark runs: two hosts and a client, network namespaces on this machine, without a cluster.
// Nothing of the machine is changed; hub.sh says how all of it goes away.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeSyncKey } from '../../../src/config/sync-key.js';
import { Hub } from '../../lab/hub.js';
import { Place } from '../../lab/place.js';
import { PROJECT } from '../../lab/project.js';
import { waitFor } from '../../lab/wait-for.js';
import { compile } from '../load/compile.js';
import { syncKeyOf } from './machine.js';

const PROGRAMS = ['ask', 'await', 'bulk', 'tell'] as const;
export type Program = (typeof PROGRAMS)[number];

export class Yard {
  /** Run folder: sockets, logs and consoles. */
  readonly run: string;
  /** The machine that talks to the guests. */
  readonly client: Place;
  readonly #hub: Hub;
  readonly #hosts: ReadonlyMap<string, Place>;
  #down: Promise<void> | undefined;

  private constructor(run: string, hub: Hub) {
    this.run = run;
    this.#hub = hub;
    this.client = Place.namespace(hub.pid, 'client');
    this.#hosts = new Map(['n1', 'n2'].map((name) => [name, Place.namespace(hub.pid, name)]));
  }

  /** Brings it up, with the load generators built. */
  static async up(): Promise<Yard> {
    const run = await mkdtemp(join(tmpdir(), 'kemari-bench-'));
    // As both hosts of a VM share one.
    await Promise.all([makeSyncKey(syncKeyOf(run), false), ...PROGRAMS.map((name) => compile(name, run))]);
    const yard = new Yard(run, await Hub.start(run, [join(PROJECT, 'test/bench/yard/hub.sh')]));
    try {
      await waitFor(
        'the namespaces of the benchmark',
        async () =>
          (await yard.client.exec(['ip', 'addr', 'show', 'dev', 'eth0', 'up'])).stdout.includes('10.77.3'),
        { timeout_ms: 20_000 },
      );
      return yard;
    } catch (error) {
      const log = await readFile(join(run, 'hub.log'), 'utf8').catch(() => '');
      await yard.down();
      throw new Error(`the namespaces could not be made: ${log}`, { cause: error });
    }
  }

  host(name: string): Place {
    const place = this.#hosts.get(name);
    if (!place) throw new Error(`there is no host ${name}`);
    return place;
  }

  /** Path of a load generator. */
  program(name: Program): string {
    return join(this.run, name);
  }

  /** Runs a load generator on the client and returns the JSON objects that it prints. */
  async load(program: Program, args: readonly (string | number)[]): Promise<unknown[]> {
    const output = await this.client.run([this.program(program), ...args.map(String)]);
    return output.split('\n').map((line): unknown => JSON.parse(line));
  }

  /** Ends it: every process and network of it. Can be called more than once. */
  down({ keepLogs = false } = {}): Promise<void> {
    this.#down ??= (async () => {
      await this.#hub.stop();
      if (!keepLogs) await rm(this.run, { recursive: true, force: true });
    })();
    return this.#down;
  }
}
