import { AgentError, messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import type { Environment, ResourcePaths } from '../common/paths.js';
import { writeAll } from '../common/write-all.js';
import { isRecurring } from '../pacemaker/environment.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { parameters } from '../pacemaker/parameters.js';
import { askSupervisor, supervisorStatus, type SupervisorStatus } from '../supervise/client.js';
import type { MonitorVerdict } from '../supervise/decide-monitor.js';
import { canBeAsked, isGuestsFault } from '../supervise/decide-sickness.js';
import { GUEST_LEVEL } from './monitor.js';
import { runMonitorScripts } from './monitor-scripts.js';

interface Look {
  readonly env: Environment;
  readonly paths: ResourcePaths;
  readonly level: number;
  readonly deadline: number;
}

/**
 * What a monitor finds that looks deeper than at the engine; nothing if that did not become clear. What is not found well here is a failure that Pacemaker mends by a
 * restart. A guest that is sick is noted, so that this restart is a boot: its copy on the other node is as sick.
 */
export async function lookDeeper(look: Look, before: SupervisorStatus): Promise<MonitorVerdict | undefined> {
  const promoted = before.monitor.code === exitCode.promoted;
  const scripts = promoted && look.level >= GUEST_LEVEL ? scriptsOf(look.env) : [];
  const sound: MonitorVerdict = {
    ...before.monitor,
    reason: before.monitor.reason ?? undefined,
  } as MonitorVerdict;
  const failed = (reason: string): MonitorVerdict => {
    const code = promoted ? exitCode.failed_promoted : exitCode.generic;
    return { code, recurring: code, reason };
  };

  const broken = await askQemu(look);
  if (broken !== undefined) {
    if (promoted) await note(look, broken);
    return failed(broken);
  }
  if (scripts.length > 0 && canBeAsked(before.flow)) {
    const began = Date.now();
    const findings = await runMonitorScripts(scripts, look.env, look.deadline);
    if (findings.found === 'nothing') return unanswered(sound, findings.sentence);
    if (findings.found === 'sick') {
      const after = await supervisorStatus(look.paths.supervisor_socket, limits.status_ms);
      if (!isGuestsFault(before.flow, after.flow, Date.now() - began)) {
        writeAll(2, `${findings.sentence}; its outputs had to wait meanwhile: no fault of the guest\n`);
        return sound;
      }
      await note(look, findings.sentence);
      return failed(findings.sentence);
    }
  } else if (scripts.length > 0) return sound;
  // Of a guest that scripts have found sick only scripts can say that it is well.
  const asked = look.level >= GUEST_LEVEL || scriptsOf(look.env).length === 0;
  if (promoted && asked && before.sick !== null) await note(look, null);
  return sound;
}

/**
 * Why QEMU has stopped the guest for good, if it has. An engine that does not say is busy, or ends: one whose QEMU does not answer
 * ends within ten seconds, by itself, and the replica goes on.
 */
async function askQemu({ paths, deadline }: Look): Promise<string | undefined> {
  const timeout_ms = Math.max(Math.floor(deadline - Date.now() - limits.answer_ms), 1);
  try {
    const order = { command: 'check', timeout_ms } as const;
    await askSupervisor(paths.supervisor_socket, order, timeout_ms + limits.answer_ms);
  } catch (error) {
    if (error instanceof AgentError && error.code === 'refused') return error.message;
    writeAll(2, `QEMU was not asked how the guest is: ${messageOf(error)}\n`);
  }
  return undefined;
}

/** A host that cannot ask is no sick guest: shown, and nothing follows. */
function unanswered(sound: MonitorVerdict, reason: string): MonitorVerdict {
  writeAll(2, `${reason}\n`);
  return { ...sound, recurring: exitCode.degraded_promoted, reason };
}

/** Pacemaker's word for what a failure of this monitor leads to, if it is not a restart. */
const NO_RESTART: readonly (string | undefined)[] = ['ignore', 'block'];

/** Tells the supervisor, unless somebody only looks, or wants nothing to follow. */
async function note({ env, paths }: Look, sick: string | null): Promise<void> {
  if (!isRecurring(env) || NO_RESTART.includes(env['OCF_RESKEY_CRM_meta_on_fail'])) return;
  const order = { command: 'health', sick: sick?.slice(0, limits.sickness_characters) ?? null } as const;
  await askSupervisor(paths.supervisor_socket, order, limits.status_ms).catch((error: unknown) => {
    writeAll(2, `the supervisor was not told of the guest's health: ${messageOf(error)}\n`);
  });
}

/** A value that `start` would have refused must not keep a guest from being looked at. */
export function scriptsOf(env: Environment): readonly string[] {
  const parsed = parameters.monitor_scripts.kind.parse(env['OCF_RESKEY_monitor_scripts'] ?? '');
  return 'value' in parsed ? parsed.value : [];
}
