// The commands of the two cluster shells, word by word.
import { RESOURCE } from './protected-guest.js';

type Command = readonly string[];

export interface Shell {
  readonly name: string;
  set(parameter: string, value: string): Command;
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
  /** One monitor, by hand, on the node where it is typed. */
  monitor(): Command;
  readonly monitored: RegExp;
}

const CLONE = `${RESOURCE}-clone`;

const pcs: Shell = {
  name: 'pcs',
  set: (parameter, value) => ['pcs', 'resource', 'update', RESOURCE, `${parameter}=${value}`],
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
  monitor: () => ['bash', '-c', `pcs resource debug-monitor ${RESOURCE} 2>&1; true`],
  monitored: /promoted/i,
};

const crmsh: Shell = {
  name: 'crmsh',
  set: (parameter, value) => ['crm', 'resource', 'param', RESOURCE, 'set', parameter, value],
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
  monitor: () => ['bash', '-c', `crm_resource --force-check --resource ${RESOURCE} 2>&1; true`],
  monitored: /promoted/i,
};

export const SHELLS: readonly Shell[] = [pcs, crmsh];
