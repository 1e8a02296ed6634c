// The lab's wiring: one bridge per network in the switch's namespace (this process's own), a namespace per node and
// one for the client of the guest.
import {
  CLIENT_ADDRESS,
  INTERFACES,
  NETWORKS,
  POWER_ADDRESS,
  nodeAddress,
  nodeInterfaceAddress,
  nodeNumber,
  switchAddress,
  switchPort,
  type Network,
} from '../networks.js';
import { command, ip } from './command.js';

/** Builds what stays for the lab's life: the switch and the client. */
export async function buildSwitch(): Promise<void> {
  await ip([
    'link set lo up',
    // An address of its own: else a bridge has the lowest of its ports', which change when a host is powered on, and for as long
    // as the others' caches have the one before no fence agent reaches the power controller.
    ...NETWORKS.map(
      (network) =>
        `link add ${network} address ${switchAddress(network)} ` +
        'type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
    ),
    ...NETWORKS.map((network) => `link set ${network} up`),
    `addr add ${POWER_ADDRESS}/24 dev mgmt`,
    'netns add client',
    'link add client type veth peer name eth0 netns client',
    'link set client master lan up',
  ]);
  await inNamespace('client', [
    'link set lo up',
    `addr add ${CLIENT_ADDRESS}/24 dev eth0`,
    'link set eth0 up',
  ]);
}

/**
 * Gives a node that is being powered on its network interfaces, all cables out. A new namespace for each boot: in the
 * old one the sockets of the dead host would go on with their retransmissions, which those of a real one do not.
 */
export async function wireNode(node: string, isFirstBoot: boolean): Promise<void> {
  const number = nodeNumber(node);
  if (!isFirstBoot) {
    await ip([...NETWORKS.map((network) => `link del ${switchPort(node, network)}`), `netns del ${node}`]);
  }
  await ip([
    `netns add ${node}`,
    ...NETWORKS.flatMap((network) => [
      // A real card keeps its address over a reboot, and so do its neighbours' caches.
      `link add ${switchPort(node, network)} type veth peer name ${INTERFACES[network]} netns ${node} ` +
        `address ${nodeInterfaceAddress(network, number)}`,
      `link set ${switchPort(node, network)} master ${network}`,
    ]),
  ]);
  const addressed = NETWORKS.filter((network) => network !== 'lan');
  await inNamespace(node, [
    'link set lo up',
    ...addressed.map((network) => `addr add ${nodeAddress(network, number)}/24 dev ${INTERFACES[network]}`),
    ...addressed.map((network) => `link set ${INTERFACES[network]} up`),
  ]);
}

async function inNamespace(namespace: string, lines: readonly string[]): Promise<void> {
  await command('ip', ['-netns', namespace, '-batch', '-'], `${lines.join('\n')}\n`);
}

/** Plugs a node's cables in or pulls them, at the switch: the node sees its carrier come or go. */
export async function setCables(
  node: string,
  networks: readonly Network[],
  state: 'up' | 'down',
): Promise<void> {
  if (networks.length === 0) return;
  await ip(networks.map((network) => `link set ${switchPort(node, network)} ${state}`));
}
