import { messageOf } from '../common/error.js';
import { writeAll } from '../common/write-all.js';
import type { Vm } from '../domain/vm.js';
import type { ParameterValues } from '../pacemaker/parameters.js';
import { setUtilization } from '../pacemaker/tools.js';

/** Tells the cluster what the VM takes of a host. A cluster that does not take it keeps no VM from running. */
export async function tellUtilization(
  resource: string,
  vm: Pick<Vm, 'vcpus' | 'memory_mib'>,
  values: ParameterValues,
): Promise<void> {
  const wanted = [
    ...(values.autoset_utilization_cpu ? [['cpu', vm.vcpus] as const] : []),
    ...(values.autoset_utilization_hv_memory ? [['hv_memory', vm.memory_mib] as const] : []),
  ];
  for (const [name, value] of wanted) {
    await setUtilization(resource, name, String(value)).catch((error: unknown) => {
      writeAll(2, `the utilization ${name} of ${resource} was not set: ${messageOf(error)}\n`);
    });
  }
}
