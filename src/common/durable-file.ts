import { constants } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Replaces a file so that after a crash at any moment either the old or the new content is there, whole:
 * write aside, fsync, rename, fsync of the folder (rename(2) alone promises order to nobody after a power loss).
 */
export async function writeDurably(path: string, content: string, mode: number): Promise<void> {
  await write(path, `${path}.new`, content, mode, () => rename(`${path}.new`, path));
}

/** The same for a file that must not be there yet. @returns false if it is, also since a moment ago: nothing is written then */
export async function createDurably(path: string, content: string, mode: number): Promise<boolean> {
  const aside = `${path}.${process.pid}.new`;
  let isNew = true;
  await write(path, aside, content, mode, async () => {
    await link(aside, path).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      isNew = false;
    });
    await rm(aside, { force: true });
  });
  return isNew;
}

async function write(
  path: string,
  aside: string,
  content: string,
  mode: number,
  arrive: () => Promise<void>,
): Promise<void> {
  try {
    // Its name can be guessed: no link leads elsewhere.
    const file = await open(
      aside,
      constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
      mode,
    );
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
