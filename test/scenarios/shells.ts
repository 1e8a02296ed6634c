// The commands of the two cluster shells, word by word.
import { createCommand, neededParameters } from '../lab/kemari/resource.js';
import type { Lab } from '../lab/lab.js';
import { RESOURCE } from './protected-guest.js';

type Command = readonly string[];

export interface Shell {
  readonly name: string;
  create(lab: Lab): Command;
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
  create: (lab) => createCommand(lab, RESOURCE),
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
  // All at once: a primitive without its clone would be started.
  create: (lab) => ['bash', '-c', 'crm --force configure load update - <<<"$0"', configurationOf(lab)],
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

function configurationOf(lab: Lab): string {
  const parameters = Object.entries(neededParameters(lab, RESOURCE)).map(
    ([name, value]) => `${name}="${value}"`,
  );
  return [
    `primitive ${RESOURCE} ocf:kemari:vm params ${parameters.join(' ')} op start timeout=120s op stop timeout=120s op promote timeout=60s op demote timeout=120s op monitor interval=5s role=Promoted timeout=20s op monitor interval=6s role=Unpromoted timeout=20s`,
    `clone ${CLONE} ${RESOURCE} meta promotable=true promoted-max=1 clone-max=2 notify=false interleave=true`,
  ].join('\n');
}

export const SHELLS: readonly Shell[] = [pcs, crmsh];
