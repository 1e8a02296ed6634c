// Two hosts with a cluster, a protected guest on them, and on the host that runs it another guest under libvirt.
import { join } from 'node:path';
import { configureFencing } from '../../lab/fencing.js';
import { domainPath, domainXml, writeDomain } from '../../lab/kemari/domain.js';
import { installKemari } from '../../lab/kemari/install.js';
import { createCommand, waitUntilPlaced } from '../../lab/kemari/resource.js';
import { waitUntilProtected } from '../../lab/kemari/status.js';
import { Lab } from '../../lab/lab.js';
import { startLibvirtGuest } from './libvirt.js';

const PLACED_TIMEOUT_MS = 120_000;
export const RESOURCE = 'vm1';

export interface AgentStage {
  readonly lab: Lab;
  /** The host that runs both guests, and the one with the replica. */
  readonly primary: string;
  readonly secondary: string;
  readonly accel: string;
}

/** What Pacemaker hands to `monitor`, as a recurring operation. */
export const KEMARI: readonly string[] = [
  ...['OCF_ROOT=/usr/lib/ocf', 'OCF_RA_VERSION_MAJOR=1', 'OCF_RA_VERSION_MINOR=1'],
  ...[`OCF_RESOURCE_INSTANCE=${RESOURCE}`, 'OCF_RESOURCE_TYPE=vm', 'OCF_RESOURCE_PROVIDER=kemari'],
  ...[`OCF_RESKEY_config=${domainPath(RESOURCE)}`, 'OCF_RESKEY_CRM_meta_timeout=20000'],
  ...['OCF_RESKEY_CRM_meta_interval=5000', 'OCF_RESKEY_CRM_meta_notify=false'],
];

/** Sets the stage on a lab that is up. */
export async function setStage(lab: Lab): Promise<AgentStage> {
  await Promise.all([configureFencing(lab), installKemari(lab)]);
  await writeDomain(lab, RESOURCE, domainXml());
  await lab.node('n1').run(createCommand(lab, RESOURCE));
  const primary = await waitUntilPlaced(lab, 'n1', RESOURCE, PLACED_TIMEOUT_MS);
  const { accel } = await waitUntilProtected(lab, primary, RESOURCE, PLACED_TIMEOUT_MS);
  await startLibvirtGuest(lab.node(primary));
  const secondary = lab.nodes.find((node) => node !== primary) ?? '';
  return { lab, primary, secondary, accel };
}

/** The project, as every host of a lab sees it, and what is compiled in its cache. */
export function insideLab(...parts: readonly string[]): string {
  return join('/run/project', ...parts);
}
