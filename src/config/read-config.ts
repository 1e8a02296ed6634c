import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { AgentError, messageOf, systemCodeOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { readDomain, type Allowed } from '../domain/read-domain.js';
import type { Vm } from '../domain/vm.js';

/** @throws AgentError bad-config: it cannot be read, or is no file of a sensible size. */
export async function readConfigFile(path: string): Promise<string> {
  let file;
  try {
    // Without O_NONBLOCK whoever opens a FIFO waits for a writer, for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const why =
      systemCodeOf(error) === 'ENOENT'
        ? 'does not exist'
        : `cannot be read (${systemCodeOf(error) ?? messageOf(error)})`;
    throw new AgentError(
      'bad-config',
      `${path} ${why}: put the VM's libvirt domain XML there, on every node`,
      { cause: error },
    );
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile())
      throw new AgentError('bad-config', `${path} is not a file: name the VM's libvirt domain XML`);
    if (stat.size > limits.config_bytes) {
      throw new AgentError(
        'bad-config',
        `${path} has ${stat.size} bytes: a domain XML has at most ${limits.config_bytes}`,
      );
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/** @throws AgentError bad-config: one sentence that names the file, the line and what to do. */
export async function readVm(path: string, allowed: Allowed): Promise<Vm> {
  return readDomain(await readConfigFile(path), path, allowed);
}
