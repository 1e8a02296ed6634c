import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment } from '../common/paths.js';

/**
 * What the scripts found: the guest is well, or sick, or nothing, because a script cannot be run. The sentence is for people,
 * and has what the script said in it, as far as that is kept.
 */
export type Findings =
  { readonly found: 'well' } | { readonly found: 'sick' | 'nothing'; readonly sentence: string };

/** Of timeout(1) and of every shell: there is no such program, or it cannot be run. */
const NOT_RUN: readonly (number | undefined)[] = [125, 126, 127];

/**
 * Runs the scripts one after the other, as ocf:heartbeat:VirtualDomain does: each with the environment of the action, and the
 * first that fails is the last. No shell is between. What is not done by the deadline is ended, with all that it has started.
 */
export async function runMonitorScripts(
  scripts: readonly string[],
  env: Environment,
  deadline: number,
): Promise<Findings> {
  for (const script of scripts) {
    const findings = await run(script, env, Math.max(deadline - Date.now(), 1));
    if (findings.found !== 'well') return findings;
  }
  return { found: 'well' };
}

async function run(script: string, env: Environment, boundMs: number): Promise<Findings> {
  const seconds = boundMs / 1000;
  // timeout(1) makes a process group of its own, and ends all of it.
  const child = execa('timeout', ['--signal=KILL', String(seconds), script], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    all: true,
    buffer: false,
  });
  let output = '';
  child.all.setEncoding('utf8').on('data', (chunk: string) => {
    if (output.length < limits.script_output_bytes)
      output += chunk.slice(0, limits.script_output_bytes - output.length);
  });
  // What has left the group, and keeps the pipe open, is not waited for.
  const result = await Promise.race([
    child,
    sleep(boundMs + limits.script_end_ms, undefined, { ref: false }),
  ]);
  if (result?.exitCode === 0) return { found: 'well' };
  const said = output.replaceAll(/\s+/g, ' ').trim();
  const words = said === '' ? '' : `: ${said}`;
  if (result === undefined || result.signal !== undefined)
    return {
      found: 'sick',
      sentence: `monitor script ${script} did not end within ${Math.round(seconds)} s${words}`,
    };
  if (result.exitCode === undefined)
    return { found: 'nothing', sentence: `timeout(1) cannot be run: ${messageOf(result.cause)}` };
  if (NOT_RUN.includes(result.exitCode))
    return { found: 'nothing', sentence: `monitor script ${script} cannot be run${words}` };
  return { found: 'sick', sentence: `monitor script ${script} failed (exit ${result.exitCode})${words}` };
}
