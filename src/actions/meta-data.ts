import { exitCode } from '../pacemaker/exit-codes.js';
import { metadataXml } from '../pacemaker/metadata.js';
import { version } from '../common/version.js';
import { writeAll } from '../common/write-all.js';

export function metaData(): Promise<number> {
  writeAll(1, metadataXml(version));
  return Promise.resolve(exitCode.ok);
}
