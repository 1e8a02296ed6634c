import { resolve } from 'node:path';
import { makeSyncKey, syncKeyPath } from '../config/sync-key.js';
import { exitCode } from '../pacemaker/exit-codes.js';
import { writeAll } from '../common/write-all.js';

export interface KeygenOptions {
  readonly file: string | undefined;
  readonly force: boolean;
  readonly json: boolean;
}

/** `kemari keygen`: makes the key that both hosts share, and says how to copy it. Never prints the key. */
export async function keygen({ file, force, json }: KeygenOptions): Promise<number> {
  const path = resolve(file ?? syncKeyPath);
  const fingerprint = await makeSyncKey(path, force);
  if (json) {
    writeAll(1, `${JSON.stringify({ key: path, fingerprint })}\n`);
    return exitCode.ok;
  }
  writeAll(
    1,
    [
      `made ${path}`,
      `  ${fingerprint}`,
      '',
      'Copy it to the other node as it is; sha256sum must say the same of it there:',
      `  scp -p ${path} root@OTHER-NODE:${path}`,
      '',
      'Whoever has this file can be the other host: read the guests, and change them. Each new connection between',
      'the hosts uses the file as it is then; a replaced key needs no restart.',
      '',
    ].join('\n'),
  );
  return exitCode.ok;
}
