// Where most stories begin: two hosts, and a guest that runs on one and is protected by the other.
import { promotedNode, unpromotedNodes } from '../lab/cluster-status.js';
import { configureFencing } from '../lab/fencing.js';
import { domainXml, writeDomain, type DomainOptions } from '../lab/kemari/domain.js';
import { installKemari } from '../lab/kemari/install.js';
import { createCommand, waitUntilPlaced, type Parameters } from '../lab/kemari/resource.js';
import { resourceStatus, waitForState, waitUntilProtected, type EngineStatus } from '../lab/kemari/status.js';
import { Lab } from '../lab/lab.js';
import type { LabOptions } from '../lab/settings.js';
import { waitFor } from '../lab/wait-for.js';

export const RESOURCE = 'vm1';
const PROTECT_TIMEOUT_MS = 90_000;

export class ProtectedGuest {
  readonly lab: Lab;
  readonly resource: string;

  /** One of a lab that is up. */
  constructor(lab: Lab, resource = RESOURCE) {
    this.lab = lab;
    this.resource = resource;
  }

  /** A lab with Kemari installed and fencing configured, and no resource yet. */
  static async hosts(options: LabOptions = {}): Promise<ProtectedGuest> {
    const lab = await Lab.up(options);
    try {
      await Promise.all([configureFencing(lab), installKemari(lab)]);
    } catch (error) {
      await lab.down();
      throw error;
    }
    return new ProtectedGuest(lab);
  }

  /** Creates the resource and returns when its guest is protected. */
  async create(options: DomainOptions = {}, parameters: Parameters = {}): Promise<void> {
    await writeDomain(this.lab, this.resource, domainXml(options));
    await this.lab.node('n1').run(createCommand(this.lab, this.resource, parameters));
    await this.protected();
  }

  /** Waits until the guest runs on one host and is protected by the other; returns the first one's name. */
  async protected(): Promise<string> {
    return waitFor(
      `${this.resource} to be protected`,
      async () => {
        const primary = await this.primary();
        await waitUntilProtected(this.lab, primary, this.resource, 1000);
        return waitUntilPlaced(this.lab, primary, this.resource, 1000);
      },
      { timeout_ms: PROTECT_TIMEOUT_MS, interval_ms: 300 },
    );
  }

  /** The node on which the resource is promoted, as any node that is on says. */
  async primary(): Promise<string> {
    for (const node of this.lab.nodes) {
      if (!(await this.lab.power.isOn(node))) continue;
      const promoted = promotedNode(await this.lab.status(node), this.resource);
      if (promoted !== undefined) return promoted;
    }
    throw new Error(`${this.resource} is not promoted anywhere`);
  }

  /** The other node in a cluster of two. */
  other(node: string): string {
    const other = this.lab.nodes.find((name) => name !== node);
    if (other === undefined) throw new Error('there is one node only');
    return other;
  }

  /** The node that has the replica. */
  async secondary(): Promise<string> {
    const [node] = unpromotedNodes(await this.lab.status(await this.primary()), this.resource);
    if (node === undefined) throw new Error(`${this.resource} has no second instance`);
    return node;
  }

  async engine(node: string): Promise<EngineStatus> {
    const { engine } = await resourceStatus(this.lab, node, this.resource);
    if (!engine) throw new Error(`${this.resource} has no engine on ${node}`);
    return engine;
  }

  state(node: string, states: readonly string[], timeout_ms = 30_000): Promise<EngineStatus> {
    return waitForState(this.lab, node, this.resource, states, timeout_ms);
  }

  /** SIGKILL to the engine of a node. */
  async killEngine(node: string): Promise<void> {
    await this.lab.node(node).run(['bash', '-c', 'kill -KILL $(pidof kemari-engine)']);
  }

  /** SIGKILL to the QEMU of a node. */
  async killQemu(node: string): Promise<void> {
    await this.lab.node(node).run(['kill', '-KILL', String((await this.engine(node)).qemu_pid)]);
  }

  /** What the supervisors of all nodes have logged. */
  async supervisorLogs(): Promise<string> {
    const path = `/var/log/kemari/${this.resource}.log`;
    const logs = await Promise.all(this.lab.nodes.map((name) => this.lab.node(name).run(['cat', path])));
    return logs.join('');
  }

  /** How often a guest went on with a replica, on any node. */
  async hotPromotions(): Promise<number> {
    return (await this.supervisorLogs()).split('"mode":"hot"').length - 1;
  }

  /** Waits until the guest is promoted on `node`. */
  async promotedOn(node: string, timeout_ms = 60_000): Promise<void> {
    await waitFor(
      `${this.resource} to be promoted on ${node}`,
      async () => promotedNode(await this.lab.status(node), this.resource) === node,
      { timeout_ms },
    );
  }
}
