import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { AgentError, messageOf, systemCodeOf } from '../common/error.js';
import type { Vm } from '../domain/vm.js';
import type { ParameterValues } from '../pacemaker/parameters.js';
import { VIDEO_FIRMWARE, qemuOf } from './engine-spec.js';
import { checkSyncKey } from './sync-key.js';

/** @throws AgentError missing-requirement: a file that the VM names is not on this host, or the key open to others. */
export async function checkRequirements(vm: Vm, values: ParameterValues): Promise<void> {
  const readable = { loader: vm.firmware, kernel: vm.kernel, initrd: vm.initrd };
  for (const [name, file] of Object.entries(readable)) {
    if (file === undefined) continue;
    await access(file, constants.R_OK).catch((error: unknown) => {
      throw new AgentError(
        'missing-requirement',
        `${values.config}: <${name}> names ${file}, which cannot be read on this host (${systemCodeOf(error) ?? messageOf(error)}): put the file there`,
        { cause: error },
      );
    });
  }
  if (vm.video) await checkVideoFirmware();
  for (const script of values.monitor_scripts) await checkScript(script);
  if (values.transport === 'tls') await checkSyncKey(values.key);
  const qemu = qemuOf(vm);
  await access(qemu, constants.X_OK).catch((error: unknown) => {
    throw new AgentError(
      'missing-requirement',
      `${qemu} cannot be run (${systemCodeOf(error) ?? messageOf(error)}): install QEMU (apt-get install qemu-system-x86)`,
      { cause: error },
    );
  });
}

async function checkVideoFirmware(): Promise<void> {
  await access(VIDEO_FIRMWARE, constants.R_OK).catch((error: unknown) => {
    throw new AgentError(
      'missing-requirement',
      `${VIDEO_FIRMWARE}, the firmware of <video>, cannot be read on this host (${systemCodeOf(error) ?? messageOf(error)}): install it (apt-get install seabios)`,
      { cause: error },
    );
  });
}

async function checkScript(script: string): Promise<void> {
  try {
    if (!(await stat(script)).isFile()) throw new Error('it is no file');
    await access(script, constants.X_OK);
  } catch (error) {
    throw new AgentError(
      'missing-requirement',
      `monitor script ${script} cannot be run on this host (${systemCodeOf(error) ?? messageOf(error)}): put it there, with chmod 755`,
      { cause: error },
    );
  }
}
