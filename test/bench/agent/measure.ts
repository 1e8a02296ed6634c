// npm run bench -- --agent: what the agent itself costs, beside the agent that people have today.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from 'simple-statistics';
import { PROJECT } from '../../lab/project.js';
import { compile } from '../load/compile.js';
import type { Findings } from '../report/findings.js';
import { orderOf } from '../rounds.js';
import type { Settings } from '../settings.js';
import { ratios } from '../statistics.js';
import { CALLERS, callsOf, type Call, type Caller } from './calls.js';
import type { AgentStage } from './stage.js';
import { askSupervisor, lookAtSupervisor } from './supervisor.js';

/** Calls that warm up what every later one finds in memory. */
const WARM_UP_CALLS = 3;

/** Times of the actions and of the same of VirtualDomain, in rounds that alternate. */
async function measureCalls(stage: AgentStage, settings: Settings, findings: Findings): Promise<void> {
  await mkdir(join(PROJECT, 'cache/bench'), { recursive: true });
  await compile('times', join(PROJECT, 'cache/bench'));
  const host = stage.lab.node(stage.primary);
  for (const caller of CALLERS) await callsOf(host, caller, WARM_UP_CALLS);
  const rounds = new Map<Caller['name'], Call[][]>(CALLERS.map(({ name }) => [name, []]));
  for (let round = 0; round < settings.rounds; round += 1) {
    for (const caller of orderOf(CALLERS, round))
      rounds.get(caller.name)?.push(await callsOf(host, caller, settings.agent_calls));
  }
  const of = (name: Caller['name'], time: keyof Call, share: number): number[] =>
    (rounds.get(name) ?? []).map((calls) =>
      quantile(
        calls.map((one) => one[time]),
        share,
      ),
    );
  const row = (what: string, name: Caller['name']): readonly [wall: number, cpu: number] => {
    const wall = findings.alone(`${what}: p50`, 'ms', of(name, 'wall_ms', 0.5)).median;
    const cpu = findings.alone(`${what}: processor, p50`, 'ms', of(name, 'cpu_ms', 0.5)).median;
    findings.alone(`${what}: p99`, 'ms', of(name, 'wall_ms', 0.99));
    return [wall, cpu];
  };
  const [monitor, monitorCpu] = row('ocf:kemari:vm monitor', 'monitor');
  const [virtualDomain] = row('ocf:heartbeat:VirtualDomain monitor', 'VirtualDomain');
  const [metaData] = row('ocf:kemari:vm meta-data', 'meta-data');
  const [node] = row('node, of nothing', 'node');
  findings.figure('monitor_ms', monitor);
  findings.figure('monitor_cpu_ms', monitorCpu);
  findings.figure(
    'monitor_of_virtualdomain',
    ratios(of('monitor', 'wall_ms', 0.5), of('VirtualDomain', 'wall_ms', 0.5)).median,
  );
  findings.figure('virtualdomain_ms', virtualDomain);
  findings.figure('metadata_ms', metaData);
  findings.figure('node_ms', node);
}

/** Memory of both supervisors when they have lived, and their processor while the guest is idle; the worse of the two counts. */
async function measureSupervisors(stage: AgentStage, settings: Settings, findings: Findings): Promise<void> {
  const hosts = [stage.primary, stage.secondary].map((name) => stage.lab.node(name));
  for (const host of hosts) await askSupervisor(host, settings.agent_questions);
  const started = process.hrtime.bigint();
  const before = await Promise.all(hosts.map(lookAtSupervisor));
  await sleep(settings.agent_rest_ms);
  const after = await Promise.all(hosts.map(lookAtSupervisor));
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const percents = after.map(
    ({ cpu_seconds }, index) => ((cpu_seconds - (before[index]?.cpu_seconds ?? NaN)) / seconds) * 100,
  );
  const resident = after.map(({ resident_mib }) => resident_mib);
  findings.alone('supervisors: memory, resident', 'MiB', resident);
  findings.alone(
    'supervisors: memory, their share',
    'MiB',
    after.map((one) => one.proportional_mib),
  );
  findings.alone('supervisors: processor at rest', '%', percents);
  findings.figure('supervisor_mib', Math.max(...resident));
  findings.figure('supervisor_cpu_percent', Math.max(...percents));
}

export interface AgentMeasure {
  readonly name: string;
  readonly title: string;
  readonly run: (stage: AgentStage, settings: Settings, findings: Findings) => Promise<void>;
}

export const AGENT: readonly AgentMeasure[] = [
  {
    name: 'agent-calls',
    title: 'monitor and meta-data, and the monitor of VirtualDomain',
    run: measureCalls,
  },
  {
    name: 'agent-supervisor',
    title: 'the supervisors, asked as often as in a day, and while nothing happens',
    run: measureSupervisors,
  },
];
