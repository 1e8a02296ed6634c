import { exitCode } from '../pacemaker/exit-codes.js';
import { metadataXml } from '../pacemaker/metadata.js';
import { version } from '../common/version.js';

export function metaData(): Promise<number> {
  process.stdout.write(metadataXml(version));
  return Promise.resolve(exitCode.ok);
}
