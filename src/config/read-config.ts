import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import * as v from 'valibot';
import { AgentError, messageOf, quote, systemCodeOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { checkSyncKey } from './sync-key.js';
import { vmConfig, type VmConfig } from './vm-config.js';

async function readBounded(path: string): Promise<string> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    const why =
      systemCodeOf(error) === 'ENOENT'
        ? 'does not exist'
        : `cannot be read (${systemCodeOf(error) ?? messageOf(error)})`;
    throw new AgentError('bad-config', `${path} ${why}: put the VM's config file there, on both nodes`, {
      cause: error,
    });
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile())
      throw new AgentError('bad-config', `${path} is not a file: name the VM's JSON config file`);
    if (stat.size > limits.config_bytes) {
      throw new AgentError(
        'bad-config',
        `${path} has ${stat.size} bytes: a config file has at most ${limits.config_bytes}`,
      );
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** One sentence for the first fault: the file, the key, what it must be. */
function faultSentence(path: string, issue: v.BaseIssue<unknown>): string {
  const dotted = v.getDotPath(issue);
  const key = dotted === null ? undefined : quote(dotted);
  const message = quote(issue.message);
  if (issue.type === 'strict_object') {
    // valibot reports an unknown key with the key as expected "never", a missing one as expected `"name"`.
    if (issue.expected === 'never')
      return `${path}: unknown key "${key ?? ''}": remove it or correct its spelling`;
    return `${path}: key "${key ?? ''}" is missing: add it`;
  }
  return `${path}: key "${key ?? 'the whole file'}" ${message.startsWith('must') ? message : `is wrong: ${message}`}`;
}

/** @throws AgentError bad-config: one sentence that names the file, the key and what to do. */
export async function readVmConfig(path: string): Promise<VmConfig> {
  const content = await readBounded(path);
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch (error) {
    throw new AgentError(
      'bad-config',
      `${path} is not JSON (${quote(messageOf(error))}): correct it, then run kemari validate-all`,
      {
        cause: error,
      },
    );
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new AgentError('bad-config', `${path} must hold one JSON object: see ocf/examples/vm1.json`);
  }
  const parsed = v.safeParse(vmConfig, json, { abortEarly: true });
  if (!parsed.success) throw new AgentError('bad-config', faultSentence(path, parsed.issues[0]));
  return parsed.output;
}

/** @throws AgentError missing-requirement: a file that the config names is not on this host, or the key open to others. */
export async function checkRequirements(path: string, config: VmConfig): Promise<void> {
  const readable = { firmware: config.firmware, kernel: config.kernel, initrd: config.initrd };
  for (const [key, file] of Object.entries(readable)) {
    await access(file, constants.R_OK).catch((error: unknown) => {
      throw new AgentError(
        'missing-requirement',
        `${path}: key "${key}" names ${file}, which cannot be read on this host (${systemCodeOf(error) ?? messageOf(error)}): put the file there`,
        { cause: error },
      );
    });
  }
  if (config.transport === 'tls') await checkSyncKey(config.key);
  await access(config.qemu, constants.X_OK).catch((error: unknown) => {
    throw new AgentError(
      'missing-requirement',
      `${config.qemu} cannot be run (${systemCodeOf(error) ?? messageOf(error)}): install QEMU (apt-get install qemu-system-x86)`,
      { cause: error },
    );
  });
}
