// What `kemari status --json` says on a node, as far as the stories ask.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../lab.js';
import { waitFor } from '../wait-for.js';

export interface EngineStatus {
  /** New with every start of an engine. */
  readonly engine_id: string;
  readonly role: string;
  readonly state: string;
  readonly guest: string;
  readonly generation: number;
  readonly accel: string;
  readonly accel_reason: string | null;
  readonly qemu_pid: number;
  readonly checkpoints: number;
  readonly held_packets: number;
  readonly released_packets: number;
  readonly pause_us: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  readonly sync_progress: { readonly percent: number } | null;
  readonly tuning: { readonly sync_mode: string; readonly freeze_timeout_ms: number };
  readonly promotion_us: { readonly load: number; readonly total: number } | null;
}

export interface ResourceStatus {
  readonly phase: string;
  readonly failure: { readonly message: string } | null;
  readonly engine: EngineStatus | null;
}

/** Status of a resource on a node. Throws when nobody answers there. */
export async function resourceStatus(lab: Lab, node: string, resource: string): Promise<ResourceStatus> {
  const text = await lab.node(node).run(['kemari', 'status', '--json', resource], { timeout_ms: 10_000 });
  return JSON.parse(text) as ResourceStatus;
}

/** Waits until the engine on `node` is in one of the given states. */
export async function waitForState(
  lab: Lab,
  node: string,
  resource: string,
  states: readonly string[],
  timeout_ms: number,
): Promise<EngineStatus> {
  return waitFor(
    `${resource} on ${node} to be ${states.join(' or ')}`,
    async () => {
      const { engine } = await resourceStatus(lab, node, resource);
      if (engine && states.includes(engine.state)) return engine;
      throw new Error(`${resource} on ${node} is ${engine?.state ?? 'without an engine'}`);
    },
    { timeout_ms, interval_ms: 150 },
  );
}

/** Waits until the guest on `node` has a complete replica whose acks its outputs wait for. */
export function waitUntilProtected(
  lab: Lab,
  node: string,
  resource: string,
  timeout_ms = 60_000,
): Promise<EngineStatus> {
  return waitForState(lab, node, resource, ['protected'], timeout_ms);
}

/** Stays protected for a moment: what is protected and solo again at once has a link that flaps. */
export async function expectSteady(lab: Lab, node: string, resource: string, span_ms: number): Promise<void> {
  await waitUntilProtected(lab, node, resource);
  await sleep(span_ms);
  await waitForState(lab, node, resource, ['protected'], 1000);
}
