import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Replaces a file so that after a crash at any moment either the old or the new content is there, whole:
 * write aside, fsync, rename, fsync of the folder (rename(2) alone promises order to nobody after a power loss).
 */
export async function writeDurably(path: string, content: string, mode: number): Promise<void> {
  await write(path, `${path}.new`, content, mode, () => rename(`${path}.new`, path));
}

/** The same for a file that must not be there yet. @throws EEXIST if it is, also since a moment ago */
export async function createDurably(path: string, content: string, mode: number): Promise<void> {
  const aside = `${path}.${process.pid}.new`;
  await write(path, aside, content, mode, async () => {
    await link(aside, path);
    await rm(aside, { force: true });
  });
}

async function write(
  path: string,
  aside: string,
  content: string,
  mode: number,
  arrive: () => Promise<void>,
): Promise<void> {
  try {
    const file = await open(aside, 'w', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await arrive();
  } catch (error) {
    await rm(aside, { force: true }).catch(() => undefined);
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
