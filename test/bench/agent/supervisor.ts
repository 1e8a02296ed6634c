// What a supervisor takes while nothing happens: Pacemaker's monitors come, and nothing else.
import * as v from 'valibot';
import type { Place } from '../../lab/place.js';
import { RESOURCE } from './stage.js';

/** Clock ticks of /proc/PID/stat per second (USER_HZ of x86). */
const TICKS_PER_SECOND = 100;
const record = v.pipe(v.string(), v.parseJson(), v.object({ supervisor: v.object({ pid: v.number() }) }));

/** What a process has used so far, and holds. */
export interface SupervisorUsage {
  /** Its own, and that of the programs which it has waited for. */
  readonly cpu_seconds: number;
  readonly resident_mib: number;
  /** Its share of what it has in common with others. */
  readonly proportional_mib: number;
}

/** Looks at the supervisor of a host. */
export async function lookAtSupervisor(host: Place): Promise<SupervisorUsage> {
  const { supervisor } = v.parse(record, await host.run(['cat', `/run/kemari/${RESOURCE}/processes.json`]));
  const files = ['stat', 'status', 'smaps_rollup'].map((name) => `/proc/${supervisor.pid}/${name}`);
  return parseSupervisorUsage(await host.run(['cat', ...files]));
}

/** Asks the supervisor of a host what monitors ask it, as often as many of them would. */
export async function askSupervisor(host: Place, questions: number): Promise<void> {
  const program = `
    use IO::Socket::UNIX;
    my $socket = IO::Socket::UNIX->new(Peer => '/run/kemari/${RESOURCE}/supervisor.sock') or die;
    for (1..${questions}) {
      print $socket '{"v":1,"id":1,"command":"status"}' . "\\n";
      my $answer = <$socket>;
      die $answer unless $answer =~ /"ok":/;
    }`;
  await host.run(['perl', '-e', program]);
}

/** Reads /proc/PID/stat, followed by status and smaps_rollup: proc(5). */
export function parseSupervisorUsage(text: string): SupervisorUsage {
  const stat = text.split('\n')[0] ?? '';
  // The command's name, in parentheses, may hold anything; what follows the last one is fixed.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]);
  const usage = {
    cpu_seconds: ticks / TICKS_PER_SECOND,
    resident_mib: kib('VmRSS') / 1024,
    proportional_mib: kib('Pss') / 1024,
  };
  if (!Object.values(usage).every(Number.isFinite)) throw new Error(`this is no process: ${stat}`);
  return usage;
}
