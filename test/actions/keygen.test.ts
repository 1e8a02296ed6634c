import { createPrivateKey } from 'node:crypto';
import { chmod, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkSyncKey, fingerprintOf } from '../../src/config/sync-key.js';
import { Host } from '../fixtures/host.js';

/** PKCS#8 of the Ed25519 key whose 32 bytes are all the same, as the engine's own test makes it. */
function keyOf(byte: number): string {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const der = Buffer.concat([prefix, Buffer.alloc(32, byte)]);
  return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
}

test('a key is made for its owner alone, and never shown', async () => {
  const host = await Host.create();
  const path = join(host.folder, 'etc', 'kemari', 'sync.key');
  const result = await host.run(`keygen ${path}`);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect((await stat(path)).mode & 0o7777).toBe(0o600);
  const pem = await readFile(path, 'utf8');
  expect(pem).toMatch(/^-----BEGIN PRIVATE KEY-----\n[A-Za-z0-9+/=]{64}\n-----END PRIVATE KEY-----\n$/);
  const secret = pem.split('\n')[1] ?? '';
  expect(result.stdout).not.toContain(secret);
  expect(result.stdout).toContain(fingerprintOf(createPrivateKey(pem)));
  expect(result.stdout).toContain(`scp -p ${path} root@`);
  await checkSyncKey(path);
});

test('a key that is there is replaced only if that is wanted', async () => {
  const host = await Host.create();
  const path = join(host.folder, 'sync.key');
  const before = await readFile(path, 'utf8');
  const refused = await host.run(`keygen ${path}`);
  expect(refused.code).toBe(1);
  expect(refused.reason).toContain(`${path} exists already`);
  expect(refused.reason).toContain('--force');
  expect(await readFile(path, 'utf8')).toBe(before);
  const made = await host.run(`keygen ${path} --force --json`);
  const { key, fingerprint } = JSON.parse(made.stdout) as { key: string; fingerprint: string };
  const after = await readFile(path, 'utf8');
  expect(after).not.toBe(before);
  expect([key, fingerprint]).toEqual([path, fingerprintOf(createPrivateKey(after))]);
  // A link that somebody has laid is not followed.
  await writeFile(join(host.folder, 'precious'), 'precious');
  await symlink(join(host.folder, 'precious'), join(host.folder, 'link.key'));
  expect((await host.run(`keygen ${join(host.folder, 'link.key')}`)).code).toBe(1);
  expect(await readFile(join(host.folder, 'precious'), 'utf8')).toBe('precious');
});

test('a place that cannot be written is named', async () => {
  const host = await Host.create();
  const result = await host.run(`keygen ${host.config}/sync.key`);
  expect(result.code).toBe(4);
  expect(result.reason).toContain(`${host.config}/sync.key cannot be written`);
});

test('the fingerprint is the one that the engine logs', () => {
  // native/src/link/secure/key.rs has the same.
  expect(fingerprintOf(createPrivateKey(keyOf(7)))).toBe(
    'SHA256:324be2dea8bc44461b0233e51fa48902ed6b1cc671e7739af2551e0bfe68f54e',
  );
});

test('help tells of it', async () => {
  const host = await Host.create();
  const help = await host.run('keygen --help');
  expect(help.stdout).toContain('--force');
  expect((await host.run('--help')).stdout).toContain('kemari keygen');
});

test('validate-all judges the key of this host, and start does too', async () => {
  const host = await Host.create();
  const path = join(host.folder, 'sync.key');
  const good = await readFile(path, 'utf8');
  const reasonOf = async (parameters: Readonly<Record<string, string>> = {}) => {
    const result = await host.run('validate-all', { OCF_CHECK_LEVEL: '10', ...parameters });
    expect(result.code).toBe(result.reason === undefined ? 0 : 5);
    return result.reason;
  };
  expect(await reasonOf()).toBeUndefined();
  await chmod(path, 0o640);
  expect(await reasonOf()).toContain(`${path} is open to others (mode 0640`);
  expect(await host.run('start')).toMatchObject({ code: 5 });
  await chmod(path, 0o600);
  await writeFile(path, 'secret');
  expect(await reasonOf()).toContain(`${path} is no key`);
  await writeFile(path, 'x'.repeat(5000));
  expect(await reasonOf()).toContain(`${path} cannot be read`);
  await rm(path);
  expect(await reasonOf()).toContain(`${path} does not exist: make it once with "kemari keygen"`);
  expect(await reasonOf({ OCF_RESKEY_transport: 'plain' })).toBeUndefined();
  await writeFile(path, good, { mode: 0o600 });
  expect(await reasonOf()).toBeUndefined();
});
