import { readdir } from 'node:fs/promises';
import { exitCode } from '../pacemaker/exit-codes.js';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { pathsOf, runRoot, type Environment } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';
import { supervisorStatus } from '../supervise/client.js';
import { shownMoment } from '../supervise/decide-shown.js';

export interface StatusOptions {
  readonly resource: string | undefined;
  readonly json: boolean;
}

/** `kemari status`: what the supervisors of this node say. @returns 7 when nothing runs */
export async function status({ resource, json }: StatusOptions, env: Environment): Promise<number> {
  const resources =
    resource === undefined
      ? (await readdir(runRoot(env)).catch(() => [])).filter((name) => !name.startsWith('.'))
      : [resource];
  const all: Record<string, unknown>[] = [];
  for (const name of resources.sort()) {
    try {
      const { details } = await supervisorStatus(pathsOf(name, env).supervisor_socket, limits.monitor_ms);
      all.push(details);
    } catch (error) {
      all.push({ resource: name, phase: 'none', failure: { message: messageOf(error) } });
    }
  }
  if (json) {
    writeAll(1, `${JSON.stringify(resource === undefined ? all : all[0])}\n`);
  } else if (all.length === 0) {
    writeAll(1, 'no resource runs on this node\n');
  } else {
    writeAll(1, `${all.map(describe).join('\n\n')}\n`);
  }
  return all.some((one) => one['phase'] !== 'none') ? exitCode.ok : exitCode.not_running;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? null);
}

/** How far a baseline is, at which rate, for how long still, and what the guest has to bear for it. */
function describeProgress(progress: Fields): string {
  const mebibytes = (bytes: unknown): string => `${Math.round(Number(bytes) / 1_048_576)} MiB`;
  const seconds = progress['remaining_seconds'];
  const brake = Number(progress['brake_percent']);
  return [
    `${show(progress['percent'])}%`,
    `round ${show(progress['round'])}`,
    `${mebibytes(progress['bytes_per_second'])}/s`,
    `${mebibytes(progress['remaining_bytes'])} left`,
    ...(typeof seconds === 'number' ? [`about ${seconds} s`] : []),
    ...(brake > 0 ? [`the guest is paused ${brake}% of the time to let the link keep up`] : []),
  ].join(', ');
}

/** For what a guest that stands still waits; an engine of another version may have other reasons. */
const pausedFor = new Map([
  [
    'freeze',
    'the other host has been away for freeze_timeout; it runs on when that is back, or known to be outdated',
  ],
  ['hold', 'the outputs that wait for the other host come near hold_mib'],
  [
    'ack',
    'commit is sync, and the other host has not acknowledged the last checkpoint; frozen, it runs on when that host does again, or is known to be outdated',
  ],
  [
    'epoch',
    'it has reached epoch_age or epoch_mib (without a link: sixteen times epoch_mib), and the last checkpoint is not acknowledged',
  ],
]);

/** The lines about one resource. */
export function describe(one: Fields): string {
  const rows: [string, string][] = [];
  const engine = fieldsOf(one['engine']);
  const failure = fieldsOf(one['failure']);
  const durable = fieldsOf(one['durable']);
  const monitor = fieldsOf(one['monitor']);
  if (engine) {
    const peer = fieldsOf(engine['peer']);
    const pause = fieldsOf(engine['pause_us']);
    const progress = fieldsOf(engine['sync_progress']);
    const since = one['frozen_since_ms'];
    const moment =
      typeof since === 'number' && Number.isSafeInteger(since) ? ` since ${shownMoment(since)}` : '';
    rows.push(['state', `${show(engine['role'])}, ${show(engine['state'])}${moment}`]);
    if (progress) rows.push(['sync', describeProgress(progress)]);
    rows.push(['generation', `${show(engine['generation'])}, epoch ${show(engine['epoch'])}`]);
    if (peer)
      rows.push([
        'peer',
        `${show(peer['node'] ?? 'the other node')}, ${peer['connected'] === true ? 'connected' : 'not connected'}`,
      ]);
    if (engine['transport'] === 'plain') rows.push(['sync link', 'NOT ENCRYPTED (transport plain)']);
    rows.push(['checkpoints', show(engine['checkpoints'])]);
    if (pause) rows.push(['pause', `p50 ${show(pause['p50'])} us, p99 ${show(pause['p99'])} us`]);
    const waits = pausedFor.get(show(engine['paused_for']));
    if (waits !== undefined) rows.push(['guest', `stands still: ${waits}`]);
    if (typeof engine['paused_percent'] === 'number')
      rows.push(['paused', `${engine['paused_percent']}% of the last seconds`]);
    if (typeof engine['guest_lag_ms'] === 'number')
      rows.push(['guest time', `${engine['guest_lag_ms']} ms behind the host's`]);
    rows.push([
      'accelerator',
      [engine['accel'], engine['accel_reason']].filter(Boolean).map(show).join(': '),
    ]);
    rows.push([
      'tracker',
      [engine['tracker'], engine['tracker_reason']].filter(Boolean).map(show).join(': '),
    ]);
    if (engine['last_error'] !== null) rows.push(['last error', show(engine['last_error'])]);
  } else {
    rows.push(['state', one['phase'] === 'none' ? 'not running' : show(one['phase'])]);
  }
  if (durable)
    rows.push([
      'on disk',
      `generation ${show(durable['generation'])}, owner ${show(durable['owner'] ?? '-')}, ${show(durable['sync'])}`,
    ]);
  if ('promotion_score' in one) rows.push(['score', show(one['promotion_score'] ?? 'none')]);
  if (typeof one['sick'] === 'string') rows.push(['guest', `SICK: ${one['sick']}`]);
  if (typeof monitor?.['reason'] === 'string') rows.push(['note', monitor['reason']]);
  if (failure) rows.push(['failure', show(failure['message'])]);
  const heading = [one['resource'], one['node']].filter(Boolean).map(show).join(' on ');
  return [heading, ...rows.map(([name, value]) => `  ${name.padEnd(12)} ${value}`)].join('\n');
}
