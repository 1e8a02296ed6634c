import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { Host } from '../fixtures/host.js';

const COUNT = 3000;

/** What the shell makes of `kemari check-config` of a description with so much wrong with it that no pipe holds the answer. */
async function complainInto(rest: string): Promise<{ stdout: string; stderr: string }> {
  const host = await Host.create();
  const file = join(host.folder, 'long.xml');
  const unknown = Array.from({ length: COUNT }, (_, index) => `<thing${index}/>`).join('\n');
  await writeFile(file, `<domain type='kvm'>\n${unknown}\n</domain>\n`);
  const line = `${process.execPath} ${inject('kemari')} check-config ${file} | ${rest}`;
  // Its standard input may be a socket, which bash takes for a remote login that reads ~/.bashrc.
  return await execa('bash', ['--norc', '-c', line], { env: host.env, extendEnv: false });
}

test('an answer that no pipe holds arrives whole at a reader that takes its time', async () => {
  const { stdout } = await complainInto('(sleep 2; grep -c "is not supported")');
  expect(Number(stdout)).toBe(COUNT);
});

test('a reader that has had enough is no bug', async () => {
  const { stdout, stderr } = await complainInto('head -n 1');
  expect(stdout.split('\n')).toHaveLength(1);
  expect(stderr).toBe('');
});
