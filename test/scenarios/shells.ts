// The commands of the two cluster shells, word by word.
import { createCommand, moveCommand, neededParameters } from '../lab/kemari/resource.js';
import type { Lab } from '../lab/lab.js';
import { RESOURCE } from './protected-guest.js';

type Command = readonly string[];

export interface Shell {
  readonly name: string;
  create(lab: Lab): Command;
  set(parameter: string, value: string): Command;
  /** The planned move: the guest is to run on `node`. */
  move(node: string): Command;
  /** The Promoted role may not be on `node`. */
  ban(node: string): readonly Command[];
  clear(): readonly Command[];
  standby(node: string): Command;
  online(node: string): Command;
  maintenance(on: boolean): Command;
  /** What is known of the resource is forgotten and found again. */
  forget(): readonly Command[];
  /** The VM is to run nowhere, or again. */
  disable(): Command;
  enable(): Command;
  remove(): readonly Command[];
  /** One monitor, by hand, on the node where it is typed; its exit code is the monitor's. */
  monitor(): Command;
}

const CLONE = `${RESOURCE}-clone`;

const pcs: Shell = {
  name: 'pcs',
  create: (lab) => createCommand(lab, RESOURCE),
  set: (parameter, value) => ['pcs', 'resource', 'update', RESOURCE, `${parameter}=${value}`],
  move: (node) => moveCommand(RESOURCE, node),
  ban: (node) => [['pcs', 'resource', 'ban', CLONE, node, '--promoted']],
  clear: () => [['pcs', 'resource', 'clear', CLONE]],
  standby: (node) => ['pcs', 'node', 'standby', node],
  online: (node) => ['pcs', 'node', 'unstandby', node],
  maintenance: (on) => ['pcs', 'property', 'set', `maintenance-mode=${String(on)}`],
  forget: () => [
    ['pcs', 'resource', 'cleanup', RESOURCE],
    ['pcs', 'resource', 'refresh', RESOURCE],
  ],
  disable: () => ['pcs', 'resource', 'disable', CLONE],
  enable: () => ['pcs', 'resource', 'enable', CLONE],
  remove: () => [['pcs', 'resource', 'delete', RESOURCE]],
  monitor: () => ['pcs', 'resource', 'debug-monitor', RESOURCE],
};

const crmsh: Shell = {
  name: 'crmsh',
  // All at once: a primitive without its clone would be started.
  create: (lab) => ['bash', '-c', 'crm --force configure load update - <<<"$0"', configurationOf(lab)],
  set: (parameter, value) => ['crm', 'resource', 'param', RESOURCE, 'set', parameter, value],
  // That it prefers the node is enough: there is an instance on both.
  move: (node) => ['crm', 'resource', 'move', CLONE, node],
  // It knows no role here: the replica leaves the node too, until the ban is cleared.
  ban: (node) => [['crm', 'resource', 'ban', CLONE, node]],
  clear: () => [['crm', 'resource', 'clear', CLONE]],
  standby: (node) => ['crm', 'node', 'standby', node],
  online: (node) => ['crm', 'node', 'online', node],
  maintenance: (on) => ['crm', '--force', 'configure', 'property', `maintenance-mode=${String(on)}`],
  forget: () => [
    ['crm', 'resource', 'cleanup', RESOURCE],
    ['crm', 'resource', 'refresh', RESOURCE],
  ],
  disable: () => ['crm', 'resource', 'stop', CLONE],
  enable: () => ['crm', 'resource', 'start', CLONE],
  remove: () => [
    ['crm', 'resource', 'stop', CLONE],
    ['crm_resource', '--wait'],
    ['crm', '--force', 'configure', 'delete', CLONE],
    ['crm', '--force', 'configure', 'delete', RESOURCE],
  ],
  // It has no word for it.
  monitor: () => ['crm_resource', '--force-check', '--resource', RESOURCE],
};

function configurationOf(lab: Lab): string {
  const parameters = Object.entries(neededParameters(lab, RESOURCE)).map(
    ([name, value]) => `${name}="${value}"`,
  );
  return [
    `primitive ${RESOURCE} ocf:kemari:vm params ${parameters.join(' ')} op start timeout=120s op stop timeout=120s op promote timeout=60s on-fail=demote op demote timeout=120s op monitor interval=5s role=Promoted timeout=20s on-fail=demote op monitor interval=6s role=Unpromoted timeout=20s`,
    `clone ${CLONE} ${RESOURCE} meta promotable=true promoted-max=1 clone-max=2 notify=false interleave=true`,
  ].join('\n');
}

export const SHELLS: readonly Shell[] = [pcs, crmsh];
