import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { createDurably, writeDurably } from '../common/durable-file.js';
import { AgentError, messageOf } from '../common/error.js';
import { shellWord } from '../common/shell-word.js';
import { writeAll } from '../common/write-all.js';
import { readConfigFile } from '../config/read-config.js';
import { convertDomain } from '../domain/convert-domain.js';
import { nameOf, type Allowed } from '../domain/read-domain.js';
import { createCommand } from '../pacemaker/create-command.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { listed } from './check-config.js';

export interface ImportOptions {
  /** What virsh dumpxml wrote. */
  readonly file: string;
  /** Where Kemari's description goes. */
  readonly output: string | undefined;
  readonly force: boolean;
  /** What the resource will allow, too. */
  readonly allowed: Allowed;
}

/** Characters of a resource's name. */
const RESOURCE_MAX = 64;

/** `kemari import FILE [OUTPUT]`: makes Kemari's description of a VM of ocf:heartbeat:VirtualDomain, and says what to type. */
export async function importDomain({ file, output, force, allowed }: ImportOptions): Promise<number> {
  const text = await readConfigFile(file);
  const name = nameOf(text, file) ?? 'vm1';
  const path = resolve(output ?? `/etc/kemari/${name}.xml`);
  const { text: converted, changes, left } = convertDomain(text, file, allowed);
  await write(path, converted, force);
  writeAll(
    1,
    [
      ...(changes.length === 0
        ? []
        : ['changed, by the lines of the original:', indented(listed(file, changes))]),
      `wrote ${path}`,
      ...(left.length === 0
        ? ['', ...commands(name, path, allowed)]
        : [
            '',
            'not to be run yet; decide about each of these, and look again with',
            `  kemari check-config ${allowed.qemu_commandline === true ? '--allow-qemu-commandline ' : ''}${shellWord(path)}`,
            '',
            indented(listed(path, left)),
          ]),
      '',
    ].join('\n'),
  );
  return left.length === 0 ? exitCode.ok : exitCode.arguments;
}

function indented(lines: string): string {
  return lines.replace(/^(?=.)/gm, '  ');
}

/** An id of the cluster's configuration, an XML name, begins with a letter; the name of a VM may begin with a digit. */
function resourceOf(name: string): string {
  return /^[A-Za-z]/.test(name) ? name : `vm-${name}`.slice(0, RESOURCE_MAX);
}

function commands(name: string, path: string, allowed: Allowed): string[] {
  const create = createCommand(resourceOf(name), [
    `config=${shellWord(path)}`,
    "sync_address='NODE1:ADDRESS;NODE2:ADDRESS'",
    ...(allowed.qemu_commandline === true ? ['allow_qemu_commandline=true'] : []),
  ]);
  return [
    'Stop the VM as it runs today (pcs resource disable RESOURCE), copy the file and what it names to the other node, then:',
    '',
    `  scp -p ${shellWord(path)} root@OTHER-NODE:${shellWord(path)}`,
    indented(create),
  ];
}

/** Whole or not at all: a file that is replaced is there until the new one is. */
async function write(path: string, text: string, force: boolean): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    if (force) await writeDurably(path, text, 0o644);
    else if (!(await createDurably(path, text, 0o644)))
      throw new AgentError(
        'refused',
        `${path} is there already: name another file, or replace it with --force`,
      );
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError('state-unusable', `${path} cannot be written: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
