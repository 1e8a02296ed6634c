import {
  copyFile,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  readdir,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';

const packaging = fileURLToPath(new URL('../../packaging/', import.meta.url));

async function built(files: readonly string[]): Promise<{ install: string; destdir: string }> {
  const folder = await mkdtemp('/tmp/kemari-install-');
  onTestFinished(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'packaging'));
  await mkdir(join(folder, 'dist'));
  for (const file of ['install.sh', 'logrotate'])
    await copyFile(join(packaging, file), join(folder, 'packaging', file));
  for (const file of files) await writeFile(join(folder, 'dist', file), '#!/bin/sh\n');
  return { install: join(folder, 'packaging', 'install.sh'), destdir: join(folder, 'root') };
}

test('installing twice is installing once, and uninstalling leaves nothing', async () => {
  const pages = ['ocf_kemari_vm.7', 'kemari.8'];
  const { install, destdir } = await built(['kemari', 'kemari-engine', 'libkemari_preload.so', ...pages]);
  for (let time = 0; time < 2; time += 1) await execa('bash', [install, '--destdir', destdir]);
  expect((await readdir(join(destdir, 'usr/lib/kemari'))).sort()).toEqual([
    'kemari',
    'kemari-engine',
    'libkemari_preload.so',
  ]);
  expect((await lstat(join(destdir, 'usr/lib/kemari/kemari'))).mode & 0o777).toBe(0o755);
  for (const link of ['usr/sbin/kemari', 'usr/lib/ocf/resource.d/kemari/vm']) {
    expect(await readlink(join(destdir, link))).toBe('/usr/lib/kemari/kemari');
  }
  for (const page of pages)
    expect((await lstat(join(destdir, `usr/share/man/man${page.slice(-1)}`, page))).mode & 0o777).toBe(0o644);
  const rotation = join(destdir, 'etc/logrotate.d/kemari');
  // logrotate(8) refuses a file that others may write to.
  expect((await lstat(rotation)).mode & 0o777).toBe(0o644);
  const rules = (await readFile(rotation, 'utf8')).split('\n').map((line) => line.trim());
  expect(rules).toEqual(expect.arrayContaining(['size 16M', 'rotate 4', 'copytruncate']));
  expect(rules[0]).toBe('/var/log/kemari/*.log /var/log/kemari/*.console {');
  for (let time = 0; time < 2; time += 1) await execa('bash', [install, '--uninstall', '--destdir', destdir]);
  const { stdout } = await execa('find', [destdir, '-not', '-type', 'd']);
  expect(stdout).toBe('');
});

test('what was not built is named', async () => {
  const { install, destdir } = await built(['kemari']);
  const result = await execa('bash', [install, '--destdir', destdir], { reject: false });
  expect(result.exitCode).toBe(1);
  expect(result.stderr).toBe("dist/kemari-engine does not exist: run 'npm run build' first");
});
