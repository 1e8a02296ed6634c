import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError, messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';
import { askSupervisor } from '../supervise/client.js';
import { scriptsOf } from './monitor-deeper.js';
import { runMonitorScripts } from './monitor-scripts.js';

/**
 * Waits until a guest that boots satisfies its monitor scripts, as a start of ocf:heartbeat:VirtualDomain does: what depends on
 * the VM starts when its services are there, and no monitor finds a guest sick that is booting.
 *
 * @throws AgentError timeout: it does not come up
 */
export async function awaitBoot(paths: ResourcePaths, env: Environment, deadline: number): Promise<void> {
  const scripts = scriptsOf(env);
  for (;;) {
    const findings = await runMonitorScripts(scripts, env, deadline);
    if (findings.found === 'well') return;
    if (findings.found === 'nothing') {
      writeAll(2, `${findings.sentence}\n`);
      return;
    }
    if (Date.now() + limits.script_retry_ms >= deadline) {
      const sick = `the guest did not come up in time: ${findings.sentence}`.slice(
        0,
        limits.sickness_characters,
      );
      await askSupervisor(paths.supervisor_socket, { command: 'health', sick }, limits.status_ms).catch(
        (error: unknown) => {
          writeAll(2, `the supervisor was not told of it: ${messageOf(error)}\n`);
        },
      );
      throw new AgentError('timeout', sick);
    }
    await sleep(limits.script_retry_ms);
  }
}
