// What Kemari itself costs on a host: the engine's memory beyond the guest's, and the time of a monitor.
import type { Lab } from '../../lab/lab.js';
import { domainPath } from '../../lab/kemari/domain.js';
import { percentilesOf } from '../../lab/traffic/answers.js';

const MONITOR_CALLS = 15;

/** Memory of the engine on a node without its mapping of the guest's RAM, in MiB. */
export async function engineExtraMemory_mib(lab: Lab, node: string, guest_mib: number): Promise<number> {
  const script = `for pid in $(pidof kemari-engine); do cat /proc/$pid/smaps; done`;
  const smaps = await lab.node(node).run(['bash', '-c', script]);
  let size_kib = 0;
  let sum_kib = 0;
  for (const line of smaps.split('\n')) {
    const match = /^(Size|Pss): +(\d+) kB/.exec(line);
    if (match?.[1] === 'Size') size_kib = Number(match[2]);
    // The guest's RAM is there once, shared with QEMU; anything else of that size would be a second copy of it.
    else if (match && size_kib !== guest_mib * 1024) sum_kib += Number(match[2]);
  }
  return Math.round((sum_kib / 1024) * 10) / 10;
}

/** Median time of `monitor` as Pacemaker calls it, in ms. */
export async function monitorTime_ms(lab: Lab, node: string, resource: string): Promise<number> {
  // Without a shell between, as Pacemaker's executor does.
  const program = `
    use Time::HiRes qw(time);
    open(my $report, '>&', STDOUT);
    open(STDOUT, '>', '/dev/null');
    open(STDERR, '>', '/dev/null');
    for (1..${MONITOR_CALLS}) {
      my $start = time;
      system('/usr/lib/ocf/resource.d/kemari/vm', 'monitor');
      printf $report "%.2f\\n", (time - $start) * 1000;
    }`;
  const environment = [
    ...['OCF_ROOT=/usr/lib/ocf', 'OCF_RA_VERSION_MAJOR=1', 'OCF_RA_VERSION_MINOR=1'],
    ...[`OCF_RESOURCE_INSTANCE=${resource}`, 'OCF_RESOURCE_TYPE=vm', 'OCF_RESOURCE_PROVIDER=kemari'],
    ...[`OCF_RESKEY_config=${domainPath(resource)}`, 'OCF_RESKEY_CRM_meta_timeout=20000'],
    ...['OCF_RESKEY_CRM_meta_interval=5000', 'OCF_RESKEY_CRM_meta_notify=false'],
  ];
  const output = await lab.node(node).run(['env', ...environment, 'perl', '-e', program]);
  return percentilesOf(output.split('\n').map(Number)).p50;
}
