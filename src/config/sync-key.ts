import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AgentError, messageOf, systemCodeOf } from '../common/error.js';
import { limits } from '../common/limits.js';

/** The key that both hosts of a VM share, unless its config names another. */
export const syncKeyPath = '/etc/kemari/sync.key';

const how = 'make it once with "kemari keygen" and copy the file to the other node';

/**
 * What names a key without giving it away, as the engine's log does: SHA-256 of its public half (DER). The same as
 * `openssl pkey -in FILE -pubout -outform DER | sha256sum`.
 */
export function fingerprintOf(key: KeyObject): string {
  const half = key.type === 'public' ? key : createPublicKey(key);
  return `SHA256:${createHash('sha256')
    .update(half.export({ type: 'spki', format: 'der' }))
    .digest('hex')}`;
}

/**
 * Makes a new Ed25519 key, for root alone; whole or not at all.
 * @returns its fingerprint
 * @throws AgentError refused: there is one already, and it is not to be replaced.
 * @throws AgentError not-permitted: the folder cannot be written.
 */
export async function makeSyncKey(path: string, replace: boolean): Promise<string> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const aside = `${path}.${process.pid}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const file = await open(aside, 'wx', 0o600);
    try {
      // What the umask took away may be missing too: a key that its owner cannot read.
      await file.chmod(0o600);
      await file.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }));
      await file.sync();
    } finally {
      await file.close();
    }
    // link(2) fails if the name is taken, whoever takes it.
    await (replace ? rename(aside, path) : link(aside, path).catch(refuseTaken(path)));
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw new AgentError(
      'not-permitted',
      `${path} cannot be written (${messageOf(error)}): run this as root`,
      {
        cause: error,
      },
    );
  } finally {
    await rm(aside, { force: true }).catch(() => undefined);
  }
  return fingerprintOf(privateKey);
}

function refuseTaken(path: string): (error: unknown) => never {
  return (error) => {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
    throw new AgentError(
      'refused',
      `${path} exists already: copy it to the other node; --force replaces it, and then both nodes need the new one`,
      { cause: error },
    );
  };
}

async function readKey(path: string): Promise<{ pem: string; mode: number; uid: number }> {
  const file = await open(path, 'r');
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > limits.key_bytes) throw new Error('not a key file');
    return { pem: await file.readFile('utf8'), mode: stat.mode & 0o7777, uid: stat.uid };
  } finally {
    await file.close();
  }
}

/**
 * Whether the engine will take the key; it looks again itself.
 * @throws AgentError missing-requirement: one sentence that names the file and the remedy.
 */
export async function checkSyncKey(path: string): Promise<void> {
  const complain = (what: string, cause?: unknown) =>
    new AgentError('missing-requirement', `the sync key ${path} ${what}`, { cause });
  const key = await readKey(path).catch((error: unknown) => {
    throw systemCodeOf(error) === 'ENOENT'
      ? complain(`does not exist: ${how}`, error)
      : complain(`cannot be read (${messageOf(error)}): ${how}`, error);
  });
  if ((key.mode & 0o077) !== 0 || (key.uid !== 0 && key.uid !== process.geteuid?.())) {
    const mode = key.mode.toString(8).padStart(4, '0');
    throw complain(
      `is open to others (mode ${mode}, owner ${key.uid}): chown root and chmod 600 it; make a new one if it may have been read`,
    );
  }
  try {
    if (createPrivateKey(key.pem).asymmetricKeyType !== 'ed25519')
      throw new Error('it is not of the kind Ed25519');
  } catch (error) {
    throw complain(`is no key (${messageOf(error)}): ${how}`, error);
  }
}
