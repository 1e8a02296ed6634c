// What the load generators and the tools of redis and HTTP say, parsed.
import * as v from 'valibot';
import type { Settings } from './settings.js';
import type { Yard } from './yard/yard.js';

export const ECHO_PORT = 7;
export const SERVICE_PORT = 7000;
/** Beyond the load's own time: a guest on a busy machine may take long to begin. */
const TOOL_MARGIN_MS = 60_000;

/** Questions that are on their way at the same time. */
export interface Breadth {
  readonly connections: number;
  /** On each connection, where the protocol lets a client ask on without an answer. */
  readonly outstanding: number;
}

/** As many as a few clients have that wait for each answer. */
export const NARROW: Breadth = { connections: 16, outstanding: 1 };

const asked = v.object({
  answers: v.number(),
  seconds: v.number(),
  p50_us: v.number(),
  p99_us: v.number(),
  max_us: v.number(),
});
const moved = v.object({ bytes: v.number(), seconds: v.number() });
const told = v.object({ at_us: v.number(), number: v.number() });

export interface Asked {
  readonly per_second: number;
  readonly p50_us: number;
  readonly p99_us: number;
}

export interface AskOptions {
  readonly address: string;
  readonly port: number;
  readonly connections: number;
  readonly question: string;
}

/** Questions and answers, one outstanding per connection. */
export async function ask(yard: Yard, settings: Settings, options: AskOptions): Promise<Asked> {
  const { address, port, connections, question } = options;
  const times = [settings.warm_up_ms, settings.measured_ms];
  const [found] = await yard.load('ask', [address, port, connections, ...times, question]);
  const { answers, seconds, p50_us, p99_us } = v.parse(asked, found);
  return { per_second: answers / seconds, p50_us, p99_us };
}

/** MB per second. */
export async function bulk(
  yard: Yard,
  settings: Settings,
  address: string,
  way: 'send' | 'receive',
): Promise<number> {
  const [found] = await yard.load('bulk', [address, way, settings.warm_up_ms, settings.measured_ms]);
  const { bytes, seconds } = v.parse(moved, found);
  return bytes / seconds / 1e6;
}

/** Says lines to the guest's service; returns the number that each answer ends with, and when it came. */
export async function tell(
  yard: Yard,
  address: string,
  lines: readonly string[],
): Promise<readonly { readonly at_us: number; readonly number: number }[]> {
  return v.parse(v.array(told), await yard.load('tell', [address, ...lines]));
}

/** Rounds per second that a process in the guest computes, by the host's clock. */
export async function compute(yard: Yard, settings: Settings, address: string): Promise<number> {
  const { warm_up_ms, measured_ms } = settings;
  const lines = ['burn 1', `sleep:${warm_up_ms}`, 'burn 1', `sleep:${measured_ms}`, 'burn 1', 'burn 0'];
  const [, from, to] = await tell(yard, address, lines);
  if (!from || !to) throw new Error('the guest did not say how much it has computed');
  return ((to.number - from.number) / (to.at_us - from.at_us)) * 1e6;
}

/** Requests per second as wrk counts them. */
export function parseWrk(output: string): number {
  const failed = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(output)?.[0];
  if (failed !== undefined) throw new Error(`wrk: ${failed}`);
  const rate = /^Requests\/sec:\s+([\d.]+)$/m.exec(output)?.[1];
  if (rate === undefined) throw new Error(`wrk did not say how many requests it made: ${output}`);
  return Number(rate);
}

export async function http(
  yard: Yard,
  settings: Settings,
  address: string,
  { connections }: Breadth = NARROW,
): Promise<number> {
  const url = `http://${address}/`;
  const run = (ms: number): Promise<string> => {
    // It counts in whole seconds.
    const seconds = Math.max(1, Math.round(ms / 1000));
    // That many connect at the same time; whoever is not heard asks again after one, three and seven seconds.
    const patience = ['--timeout=20s', `--duration=${seconds}s`];
    const command = ['wrk', '--threads=1', `--connections=${connections}`, ...patience, url];
    return yard.client.run(command, { timeout_ms: ms + TOOL_MARGIN_MS });
  };
  await run(settings.warm_up_ms);
  return parseWrk(await run(settings.measured_ms));
}

/** Requests per second of each kind as redis-benchmark counts them. */
export function parseRedis(output: string): ReadonlyMap<string, number> {
  const rates = new Map<string, number>();
  for (const match of output.matchAll(/^"(SET|GET)","([\d.]+)"/gm))
    rates.set(match[1] ?? '', Number(match[2]));
  if (rates.size !== 2) throw new Error(`redis-benchmark did not say how many requests it made: ${output}`);
  return rates;
}

export async function redis(
  yard: Yard,
  settings: Settings,
  address: string,
  { connections, outstanding }: Breadth = NARROW,
): Promise<ReadonlyMap<string, number>> {
  const run = (requests: number): Promise<string> => {
    const breadth = ['-c', connections, '-P', outstanding, '-n', requests].map(String);
    const command = ['redis-benchmark', '-h', address, '-t', 'set,get', '-d', '64', ...breadth, '--csv'];
    return yard.client.run(command, { timeout_ms: 4 * TOOL_MARGIN_MS });
  };
  await run(Math.ceil(settings.redis_requests / 10));
  return parseRedis(await run(settings.redis_requests));
}
