// A cluster of real hosts, as far as Corosync, Pacemaker, QEMU and Kemari can tell: namespaces on this machine.
// Nothing of the machine is changed, and two labs do not see each other. hub.sh says how all of it goes away.
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { parseClusterStatus, type ClusterStatus } from './cluster-status.js';
import { corosyncConf } from './corosync-conf.js';
import { Hub } from './hub.js';
import { nodeAddress } from './networks.js';
import { Place, type ExecOptions, type ExecResult } from './place.js';
import { Power } from './power/client.js';
import { PROJECT } from './project.js';
import { labSettings, nodeNames, type LabOptions, type LabSettings } from './settings.js';
import { waitFor } from './wait-for.js';

const UP_TIMEOUT_MS = 30_000;

export class Lab {
  readonly settings: LabSettings;
  /** Names of the hosts: n1, n2, … */
  readonly nodes: readonly string[];
  /** Run folder: consoles of the nodes, events, and the nodes' logs if the lab was told to keep them. */
  readonly run: string;
  readonly power: Power;
  /** The machine that talks to the guest. */
  readonly client: Place;
  readonly #hub: Hub;
  readonly #places: ReadonlyMap<string, Place>;
  #down: Promise<void> | undefined;

  private constructor(settings: LabSettings, run: string, hub: Hub) {
    this.settings = settings;
    this.nodes = nodeNames(settings);
    this.run = run;
    this.power = new Power(join(run, 'power.sock'));
    this.client = Place.namespace(hub.pid, 'client');
    this.#hub = hub;
    this.#places = new Map(this.nodes.map((name) => [name, Place.node(run, hub.pid, name)]));
  }

  /** Brings a lab up; returns when all its nodes are online in one cluster that has quorum. */
  static async up(options: LabOptions = {}): Promise<Lab> {
    const settings = labSettings(options);
    const run = await mkdtemp(join(tmpdir(), 'kemari-lab-'));
    await chmod(run, 0o755);
    const program = join(run, 'power.mjs');
    await Promise.all([bundlePower(program), writeFiles(settings, run)]);
    const lab = new Lab(
      settings,
      run,
      await Hub.start(run, [join(PROJECT, 'test/lab/hub.sh'), run, program]),
    );
    try {
      await Promise.race([lab.#waitUntilOnline(), lab.#endedEarly()]);
      return lab;
    } catch (error) {
      await lab.down({ keepLogs: true });
      throw new Error(`the lab did not come up; its logs are in ${run}`, { cause: error });
    }
  }

  /** A node of the lab. */
  node(name: string): Place {
    const place = this.#places.get(name);
    if (!place) throw new Error(`the lab has no node ${name}`);
    return place;
  }

  /** Runs a command on a node and waits for its end, which the caller judges. */
  exec(node: string, command: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return this.node(node).exec(command, options);
  }

  /** The cluster as `node` sees it. */
  async status(node: string): Promise<ClusterStatus> {
    return parseClusterStatus(
      await this.node(node).run(['crm_mon', '--output-as=xml'], { timeout_ms: 10_000 }),
    );
  }

  /** Waits until every node is online and no operation is due anywhere. */
  async settled(timeout_ms: number): Promise<void> {
    await this.#waitUntilOnline(timeout_ms);
    for (const node of this.nodes) {
      if (await this.power.isOn(node)) await this.node(node).run(['crm_resource', '--wait'], { timeout_ms });
    }
  }

  /** Waits until the cluster's controller has nothing to do; in maintenance too, where more may be due than is done. */
  async idle(node: string, timeout_ms: number): Promise<void> {
    await waitFor(
      'a cluster at rest',
      async () => {
        const { dc } = await this.status(node);
        return (await this.node(node).run(['crmadmin', '--status', dc ?? ''])).includes('S_IDLE');
      },
      { timeout_ms },
    );
  }

  /** Ends the lab: every process, mount and network of it. Can be called more than once. */
  down({ keepLogs = false } = {}): Promise<void> {
    this.#down ??= (async () => {
      if (keepLogs) await writeFile(join(this.run, 'keep'), '').catch(() => undefined);
      await this.#hub.stop();
      if (!keepLogs) await rm(this.run, { recursive: true, force: true });
    })();
    return this.#down;
  }

  async #waitUntilOnline(timeout_ms = UP_TIMEOUT_MS): Promise<void> {
    await waitFor(
      `${this.nodes.join(', ')} online in a cluster with quorum`,
      async () => {
        const status = await this.status(this.nodes[0] ?? '');
        const online = status.nodes.filter((node) => node.online && !node.pending).map((node) => node.name);
        return status.quorate && this.nodes.every((name) => online.includes(name));
      },
      { timeout_ms },
    );
  }

  async #endedEarly(): Promise<never> {
    await this.#hub.ended;
    throw new Error(`the lab ended while it came up:\n${await readFile(join(this.run, 'hub.log'), 'utf8')}`);
  }
}

async function bundlePower(program: string): Promise<void> {
  await build({
    entryPoints: [join(PROJECT, 'test/lab/power/main.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    logLevel: 'warning',
  });
}

async function writeFiles(settings: LabSettings, run: string): Promise<void> {
  const hosts = nodeNames(settings).map((name, index) => `${nodeAddress('ring', index + 1)} ${name}\n`);
  const lab = {
    settings,
    boot: join(PROJECT, 'test/lab/node/boot.sh'),
    files: ['corosync.conf', 'authkey', 'hosts'],
  };
  await Promise.all([
    writeFile(join(run, 'lab.json'), JSON.stringify(lab)),
    writeFile(join(run, 'corosync.conf'), corosyncConf(settings)),
    writeFile(join(run, 'authkey'), randomBytes(256), { mode: 0o400 }),
    writeFile(join(run, 'hosts'), `127.0.0.1 localhost\n${hosts.join('')}`),
  ]);
}
