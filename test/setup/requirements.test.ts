// Every missing requirement is one sentence that names it and says what to do.
import { execa } from 'execa';
import { expect, test } from 'vitest';

const folder = new URL('../../packaging/setup/', import.meta.url).pathname;

async function check(call: string): Promise<{ exit_code: number | undefined; text: string }> {
  const { exitCode, all } = await execa('bash', ['-c', `. ${folder}requirements.sh; ${call}`], {
    reject: false,
    all: true,
  });
  return { exit_code: exitCode, text: all };
}

test.each([
  ['another user than root', 'require_root 1000', /needs root.*sudo/],
  ['another system than Debian', 'require_debian no-such-command', /needs Debian 12.*x86-64/],
  ['a kernel without write tracking', 'require_write_tracking false', /WP_ASYNC.*boot Linux 6\.7/],
  ['no TUN device', 'require_tun /nowhere/tun', /\/nowhere\/tun cannot be opened.*modprobe tun/],
  ['a TUN device that is a file', 'require_tun /etc/hostname', /\/etc\/hostname cannot be opened/],
  ['no namespaces', 'require_namespaces false', /namespaces cannot be made.*--privileged/],
  ['no overlayfs', 'require_overlay false', /overlayfs cannot be mounted.*modprobe overlay/],
  ['a full disk', 'require_disk / 999999999', /free disk space.*999999999 MiB are needed.*make room/],
  ['little memory', 'require_memory 999999999', /memory are available.*need 999999999 MiB/],
  ['an older Node.js', 'require_node v18.19.0', /Node\.js 20\.19.*found v18\.19\.0.*nodejs\.org/],
  ['a newer Node.js', 'require_node v24.1.0', /Node\.js 20\.19.*found v24\.1\.0/],
  ['no cargo', 'require_cargo no-such-command', /cargo is not on the PATH.*rustup/],
])('%s is refused in one sentence', async (_, call, sentence) => {
  const { exit_code, text } = await check(call);
  expect(exit_code).toBe(1);
  expect(text).toMatch(sentence);
  expect(text.split('\n')).toHaveLength(1);
});

test.each([
  ['root', 'require_root 0'],
  ['a recent Node.js 20', 'require_node v20.19.0'],
  ['some disk', 'require_disk / 1'],
  ['some memory', 'require_memory 1'],
])('%s is accepted in silence', async (_, call) => {
  expect(await check(call)).toEqual({ exit_code: 0, text: '' });
});

test('the probe of the kernel says yes or no and nothing else', async () => {
  const { exitCode, all } = await execa('perl', [`${folder}probe-userfaultfd.pl`], {
    reject: false,
    all: true,
  });
  expect([0, 1]).toContain(exitCode);
  expect(all).toBe('');
});

test('an unknown word is refused before anything is checked', async () => {
  const { exitCode, stderr } = await execa('bash', [`${folder}run.sh`, 'dance'], { reject: false });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('usage: run.sh demo|test|test-fast');
});
