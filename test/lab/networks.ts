// The networks of a lab. Each is a bridge in the lab's own switch namespace; node N has address .N on each of them
// except on the lan, where only the guest and the client have one.

export const NETWORKS = ['ring', 'mgmt', 'sync', 'lan'] as const;
export type Network = (typeof NETWORKS)[number];

/** First three bytes of each network's addresses. */
export const SUBNETS: Record<Network, string> = {
  ring: '10.77.0',
  mgmt: '10.77.1',
  sync: '10.77.2',
  lan: '10.77.3',
};

/** The node's interface on each network. */
export const INTERFACES: Record<Network, string> = { ring: 'eth0', mgmt: 'eth1', sync: 'eth2', lan: 'eth3' };

/** Ethernet address of whatever has that number on a network. */
function ethernetAddress(network: Network, number: number): string {
  return `02:6b:00:00:0${NETWORKS.indexOf(network)}:${number.toString(16).padStart(2, '0')}`;
}

/** Ethernet address of node `number` (1, 2, …) on a network. */
export function nodeInterfaceAddress(network: Network, number: number): string {
  return ethernetAddress(network, number);
}

/** Ethernet address of the network's switch, which has the power controller on it. */
export function switchAddress(network: Network): string {
  return ethernetAddress(network, 254);
}

export const CLIENT_ADDRESS = `${SUBNETS.lan}.254`;
/** Address of VM `number` (1, 2, …) on the lan. */
export function guestAddress(number: number): string {
  return `${SUBNETS.lan}.${9 + number}`;
}

export const GUEST_ADDRESS = guestAddress(1);
export const POWER_ADDRESS = `${SUBNETS.mgmt}.254`;
export const POWER_PORT = 7777;

/** Address of node `number` (1, 2, …) on a network. */
export function nodeAddress(network: Network, number: number): string {
  return `${SUBNETS[network]}.${number}`;
}

/** Number of a node from its name: n1 is 1. Throws when it is not a node's name. */
export function nodeNumber(node: string): number {
  const match = /^n([1-9]\d*)$/.exec(node);
  if (match?.[1] === undefined) throw new Error(`${node} is not the name of a lab node (n1, n2, …)`);
  return Number(match[1]);
}

/** Name of the switch's port that node's cable on `network` is plugged into. */
export function switchPort(node: string, network: Network): string {
  return `${node}-${network}`;
}

function isNetwork(word: string): word is Network {
  return NETWORKS.some((network) => network === word);
}

/** Parses a network's name. Throws when there is no such network. */
export function parseNetwork(word: string): Network {
  if (!isNetwork(word)) throw new Error(`${word} is not a network of the lab (${NETWORKS.join(', ')})`);
  return word;
}
