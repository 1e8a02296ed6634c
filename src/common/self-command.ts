import { isSea } from 'node:sea';

/** How this program is run once more: the single executable, or plain node with the bundle. */
export function selfCommand(): readonly [string, ...string[]] {
  return isSea() ? [process.execPath] : [process.execPath, process.argv[1] ?? ''];
}
