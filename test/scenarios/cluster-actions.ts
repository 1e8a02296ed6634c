// What the cluster has done with the resource since a moment, as the log of whoever decides says.
import type { Lab } from '../lab/lab.js';
import { RESOURCE } from './protected-guest.js';

const LOG = '/var/log/pacemaker/pacemaker.log';

export class ClusterActions {
  readonly #lab: Lab;
  readonly #ends: ReadonlyMap<string, number>;

  private constructor(lab: Lab, ends: ReadonlyMap<string, number>) {
    this.#lab = lab;
    this.#ends = ends;
  }

  /** From here on. */
  static async since(lab: Lab): Promise<ClusterActions> {
    const ends = new Map<string, number>();
    for (const node of lab.nodes) {
      const count = await lab.node(node).run(['wc', '-l', LOG]);
      ends.set(node, Number.parseInt(count, 10));
    }
    return new ClusterActions(lab, ends);
  }

  /** `start n1`, `promote n2`, …: what changes an instance, in order. */
  async list(): Promise<string[]> {
    const actions: { at: string; action: string }[] = [];
    const initiated = new RegExp(
      `^\\w+ \\d+ (\\S+) .*Initiating (start|stop|promote|demote) operation ${RESOURCE}(?::\\d+)?_\\w+ (?:locally )?on (\\w+)`,
    );
    for (const node of this.#lab.nodes) {
      const text = await this.#lab.node(node).run(['cat', LOG]);
      for (const line of text.split('\n').slice(this.#ends.get(node))) {
        const [, at, action, on] = initiated.exec(line) ?? [];
        if (at !== undefined && action !== undefined) actions.push({ at, action: `${action} ${on ?? ''}` });
      }
    }
    return actions.sort((one, other) => one.at.localeCompare(other.at)).map(({ action }) => action);
  }

  /** The replica was promoted before anything was started or promoted elsewhere. */
  async beforePromotionOf(node: string): Promise<string[]> {
    const actions = await this.list();
    const promoted = actions.indexOf(`promote ${node}`);
    if (promoted === -1) throw new Error(`${RESOURCE} was not promoted on ${node}: ${actions.join(', ')}`);
    return actions.slice(0, promoted);
  }
}
