import { advice } from './metadata.js';

/** Operations that a resource is created with: the others take their defaults. */
const CONFIGURED: readonly string[] = ['start', 'stop', 'promote', 'demote', 'monitor'];

/** `pcs resource create` for a VM, as a person would type it: one line per operation. */
export function createCommand(resource: string, parameters: readonly string[]): string {
  const operations = advice
    .filter(({ name }) => CONFIGURED.includes(name))
    .map(({ name, timeout, interval, role, depth, on_fail }) =>
      [
        'op',
        name,
        ...(interval === undefined ? [] : [`interval=${interval}`]),
        `timeout=${timeout}`,
        ...(role === undefined ? [] : [`role=${role}`]),
        ...(depth === undefined ? [] : [`OCF_CHECK_LEVEL=${depth}`]),
        ...(on_fail === undefined ? [] : [`on-fail=${on_fail}`]),
      ].join(' '),
    );
  return [
    `pcs resource create ${resource} ocf:kemari:vm`,
    ...parameters,
    ...operations,
    'promotable promoted-max=1 clone-max=2 interleave=true notify=false',
  ].join(' \\\n  ');
}
