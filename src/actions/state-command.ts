import { text } from 'node:stream/consumers';
import * as v from 'valibot';
import { engineStatus } from '../engine/messages.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { pathsOf, type Environment } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';
import { DurableStore } from '../supervise/durable-state.js';
import { durableAtStop } from '../supervise/durable-transition.js';

const engineView = v.nullable(v.pick(engineStatus, ['role', 'state', 'generation']));

/** `kemari read-state RESOURCE`: prints state.json, or null. */
export async function readStateCommand(resource: string, env: Environment): Promise<number> {
  const durable = await new DurableStore(pathsOf(resource, env)).load();
  writeAll(1, JSON.stringify(durable ?? null));
  return exitCode.ok;
}

/** `kemari settle-state RESOURCE`: writes what the disk must say after the stop of the engine that stdin describes. */
export async function settleStateCommand(resource: string, env: Environment): Promise<number> {
  const engine = v.parse(engineView, JSON.parse(await text(process.stdin)));
  const store = new DurableStore(pathsOf(resource, env));
  const durable = await store.load();
  if (durable) await store.write(durableAtStop(durable, engine ?? undefined));
  return exitCode.ok;
}
