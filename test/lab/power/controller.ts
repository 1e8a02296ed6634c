// What a switched power outlet or a BMC is in a real cluster. One line in ("off n1"), one line out ("OK …", "ERR why").
//
//   on|off|reboot|status NODE   what the fence agent asks; "OK" to off or reboot means that nothing of the node runs
//   crash NODE                  a power failure that nobody asked for
//   hang|unhang NODE            every process of the node stops / continues
//   cut|uncut NODE NETWORK      pulls a cable / plugs it in again
//   list, monitor
import { parseNetwork } from '../networks.js';
import type { LabNode } from './node.js';

export type PowerListener = (event: string, node: string) => void;

export class PowerController {
  readonly #nodes: ReadonlyMap<string, LabNode>;
  readonly #bootDelay_ms: number;
  readonly #listener: PowerListener;
  /** Last command of each node: commands to one node wait for each other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #boots = new Map<string, NodeJS.Timeout>();

  constructor(nodes: readonly LabNode[], bootDelay_ms: number, listener: PowerListener) {
    this.#nodes = new Map(nodes.map((node) => [node.name, node]));
    this.#bootDelay_ms = bootDelay_ms;
    this.#listener = listener;
  }

  /** Answers one line. Never throws. */
  async answer(line: string): Promise<string> {
    const [verb = '', name = '', argument = ''] = line.trim().split(/\s+/);
    if (verb === 'monitor') return 'OK';
    if (verb === 'list') return `OK ${[...this.#nodes.keys()].join(' ')}`;
    const node = this.#nodes.get(name);
    if (!node) return `ERR no such node: ${name}`;
    if (verb === 'status') return node.isOn ? 'OK on' : 'OK off';
    const turn = (this.#turns.get(name) ?? Promise.resolve()).then(() => this.#act(verb, node, argument));
    this.#turns.set(
      name,
      turn.catch(() => undefined),
    );
    try {
      await turn;
      return 'OK';
    } catch (error) {
      return `ERR ${error instanceof Error ? error.message : String(error)}`.replaceAll('\n', ' ');
    }
  }

  async #act(verb: string, node: LabNode, argument: string): Promise<void> {
    switch (verb) {
      case 'on':
        this.#cancelBoot(node);
        this.#listener('on', node.name);
        return node.on();
      case 'off':
      case 'reboot':
        this.#cancelBoot(node);
        this.#listener(`${verb}-begin`, node.name);
        await node.off();
        this.#listener('off', node.name);
        if (verb === 'reboot') this.#bootLater(node);
        return;
      case 'crash':
        this.#listener('crash', node.name);
        return node.off();
      case 'hang':
      case 'unhang':
        this.#listener(verb, node.name);
        return node.signal(verb === 'hang' ? 'SIGSTOP' : 'SIGCONT');
      case 'cut':
      case 'uncut':
        this.#listener(`${verb} ${argument}`, node.name);
        return verb === 'cut' ? node.cut(parseNetwork(argument)) : node.uncut(parseNetwork(argument));
      default:
        throw new Error(`no such command: ${verb}`);
    }
  }

  /** A reboot is answered when the node is off; its boot is not waited for. */
  #bootLater(node: LabNode): void {
    const timer = setTimeout(() => void this.answer(`on ${node.name}`), this.#bootDelay_ms);
    this.#boots.set(node.name, timer);
  }

  #cancelBoot(node: LabNode): void {
    clearTimeout(this.#boots.get(node.name));
    this.#boots.delete(node.name);
  }
}
