import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, inject, test } from 'vitest';
import { createCommand } from '../../src/pacemaker/create-command.js';
import { Host } from '../fixtures/host.js';

const virtManager = fileURLToPath(new URL('../fixtures/virt-manager.xml', import.meta.url));
const example = fileURLToPath(new URL('../../ocf/examples/vm1.xml', import.meta.url));

test('check-config says what the VM will look like', async () => {
  const host = await Host.create();
  const { code, stdout } = await host.run(`check-config ${example}`);
  expect(code).toBe(0);
  expect(stdout).toContain('vm1\n  uuid         6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f\n');
  expect(stdout).toContain('  memory       256 MiB\n');
  expect(stdout).toContain('  network      52:54:00:6b:00:01, virtio, bridge br0');
  expect(stdout).toContain('  entropy      none\n  display      none\n');
  const asked = await host.run(`check-config ${example} --json`);
  expect(JSON.parse(asked.stdout)).toMatchObject({ complaints: [], vm: { name: 'vm1', memory_mib: 256 } });
});

test('check-config lists all that is wrong, as compilers do', async () => {
  const host = await Host.create();
  const { code, stdout } = await host.run(`check-config ${virtManager}`);
  expect(code).toBe(2);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.length).toBeGreaterThan(15);
  for (const line of lines) expect(line.startsWith(`${virtManager}:`)).toBe(true);
  expect(lines[0]).toMatch(/:11: <memoryBacking> is not supported: remove it: the guest's RAM is a memfd/);
  const asked = await host.run(`check-config ${virtManager} --json`);
  expect((JSON.parse(asked.stdout) as { complaints: unknown[] }).complaints).toHaveLength(lines.length);
  expect(await host.run('check-config /nowhere.xml')).toMatchObject({ code: 2 });
  expect(await host.run('check-config')).toMatchObject({ code: 3 });
});

test("import makes of a VirtualDomain VM's description one that is taken, and says what to type", async () => {
  const host = await Host.create();
  const output = join(host.folder, 'db.xml');
  const { code, stdout } = await host.run(`import ${virtManager} ${output}`);
  expect([code, stdout]).toEqual([0, expect.stringContaining(`wrote ${output}\n`)]);
  const lines = (await readFile(virtManager, 'utf8')).split('\n');
  const at = (what: string): string =>
    `  ${virtManager}:${lines.findIndex((line) => line.includes(what)) + 1}: `;
  for (const said of [
    `${at('<graphics')}<graphics> has type='spice': write type='vnc'`,
    `${at("<model type='virtio' heads")}<model> has type='virtio', whose memory no replica would have: write type='vga'`,
    `${at('<memballoon')}<memballoon> is not supported: write <memballoon model='none'/>`,
    `  scp -p ${output} root@OTHER-NODE:${output}`,
    `  pcs resource create db ocf:kemari:vm \\\n    config=${output} \\\n`,
  ])
    expect(stdout).toContain(said);
  const checked = await host.run(`check-config ${output} --json`);
  expect(JSON.parse(checked.stdout)).toMatchObject({
    complaints: [],
    vm: {
      uuid: '0b6c8a52-7c2b-4e0f-9d5e-0a1b2c3d4e5f',
      memory_mib: 2048,
      vcpus: 2,
      machine: 'pc-q35-7.2',
      cpu: 'Skylake-Server-IBRS,svm=off,vmx=off',
      interfaces: [{ mac: '52:54:00:5c:21:07', bridge: 'br0', model: 'virtio' }],
      rng: { source: 'urandom' },
      video: { memory_mib: 16 },
      vnc: { address: '127.0.0.1' },
    },
  });
  expect((await host.run(`import ${virtManager} ${output}`)).reason).toContain('is there already');
  // A folder that is none is another matter.
  const { reason } = await host.run(`import ${virtManager} ${output}/vm1.xml`);
  expect(reason).toContain('cannot be written');
  // Of several at once one writes it.
  const contested = join(host.folder, 'contested.xml');
  const codes = await Promise.all(
    [1, 2, 3].map(async () => (await host.run(`import ${virtManager} ${contested}`)).code),
  );
  expect(codes.filter((one) => one === 0)).toHaveLength(1);
  expect(await host.run(`import ${virtManager} ${output} --force`)).toMatchObject({ code: 0 });
  // What was imported is imported as it is.
  const again = await host.run(`import ${output} ${join(host.folder, 'again.xml')}`);
  expect(again.stdout).not.toContain('changed');
  expect(await readFile(join(host.folder, 'again.xml'), 'utf8')).toBe(await readFile(output, 'utf8'));
});

test('import leaves to a person what the guest would miss', async () => {
  const host = await Host.create();
  const input = join(host.folder, 'diskful.xml');
  const text = (await readFile(virtManager, 'utf8')).replace(
    '<devices>',
    "<devices><disk type='file' device='disk'><source file='/d.qcow2'/><target dev='vda'/></disk>",
  );
  await writeFile(input, text);
  const output = join(host.folder, 'out.xml');
  const { code, stdout } = await host.run(`import ${input} ${output}`);
  expect(code).toBe(2);
  expect(stdout).toContain('not to be run yet; decide about each of these');
  expect(stdout).toMatch(/out\.xml:\d+: <disk> vda is not supported yet/);
  expect(stdout).not.toContain('pcs resource create');
  expect(await readFile(output, 'utf8')).toContain('<disk ');
  await rm(output);
});

test('import names the file as a shell takes it, and the resource as the cluster does', async () => {
  const host = await Host.create();
  const input = join(host.folder, 'nine.xml');
  const text = await readFile(virtManager, 'utf8');
  await writeFile(input, text.replace('<name>db</name>', '<name>9db</name>'));
  const output = join(host.folder, "the owner's", 'nine.xml');
  await mkdir(dirname(output));
  // As an argument: the shell that is asked for is the one that reads what was printed.
  const imported = await execa(process.execPath, [inject('kemari'), 'import', input, output]);
  const command = imported.stdout.slice(imported.stdout.indexOf('  pcs resource create '));
  const { stdout } = await execa('sh', ['-c', `pcs() { printf '%s\\n' "$@"; }\n${command}`]);
  expect(stdout.split('\n').slice(0, 5)).toEqual([
    'resource',
    'create',
    'vm-9db',
    'ocf:kemari:vm',
    `config=${output}`,
  ]);
  const copy = /^ {2}scp -p .*$/m.exec(imported.stdout)?.[0] ?? '';
  const copied = await execa('sh', ['-c', `scp() { printf '%s\\n' "$@"; }\n${copy}`]);
  expect(copied.stdout.split('\n')).toEqual(['-p', output, `root@OTHER-NODE:${output}`]);
});

test('an import that cannot write its file leaves the one that is there, and nothing beside it', async () => {
  const host = await Host.create();
  const output = join(host.folder, 'there', 'vm.xml');
  await mkdir(dirname(output));
  await writeFile(output, 'what was there');
  // No file may get longer than nothing: SIGXFSZ ends whoever tries.
  const limited = 'ulimit -f 0 && exec "$@"';
  const importing = [process.execPath, inject('kemari'), 'import', virtManager, output, '--force'];
  const died = await execa('bash', ['-c', limited, 'bash', ...importing], { reject: false });
  expect(died.failed).toBe(true);
  expect(await readFile(output, 'utf8')).toBe('what was there');
  await execa(process.execPath, importing.slice(1));
  expect(await readFile(output, 'utf8')).toContain('<name>db</name>');
  expect(await readdir(dirname(output))).toEqual(['vm.xml']);
});

/** The VM of `host`, with these arguments for QEMU. */
async function addArguments(host: Host, ...words: readonly string[]): Promise<void> {
  const text = await readFile(host.config, 'utf8');
  const list = words.map((word) => `<qemu:arg value='${word}'/>`).join('');
  const namespace = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
  await writeFile(
    host.config,
    text.replace('</domain>', `<qemu:commandline ${namespace}>${list}</qemu:commandline></domain>`),
  );
}

test('arguments for QEMU are taken where the parameter, or the switch, allows them', async () => {
  const host = await Host.create();
  await addArguments(host, '-device', 'i6300esb', '-fw_cfg', 'name=opt/role,string=a b');
  const allowed = { OCF_RESKEY_allow_qemu_commandline: 'true' };
  for (const action of ['validate-all', 'start']) {
    const refused = await host.run(action, { OCF_CHECK_LEVEL: '10' });
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.reason).toContain('allow it by the parameter allow_qemu_commandline');
    expect(await host.run(action, { ...allowed, OCF_CHECK_LEVEL: '10' })).toMatchObject({ code: 0 });
  }
  const spec = JSON.parse(await readFile(host.paths.spec, 'utf8')) as { machine: unknown };
  expect(spec.machine).toMatchObject({
    qemu_arguments: ['-device', 'i6300esb', '-fw_cfg', 'name=opt/role,string=a b'],
  });

  const checked = await host.run(`check-config ${host.config} --allow-qemu-commandline`);
  expect(checked.code).toBe(0);
  expect(checked.stdout).toContain("  arguments    -device i6300esb -fw_cfg 'name=opt/role,string=a b'");
  expect(await host.run(`check-config ${host.config}`)).toMatchObject({ code: 2 });
  const output = join(host.folder, 'imported.xml');
  const imported = await host.run(`import ${host.config} ${output} --allow-qemu-commandline`);
  expect(imported.code).toBe(0);
  expect(imported.stdout).toContain(' \\\n    allow_qemu_commandline=true \\\n');
  expect(await host.run(`import ${host.config} ${output} --force`)).toMatchObject({ code: 2 });
});

test('what would let go of the guest is refused although arguments are allowed', async () => {
  const host = await Host.create();
  await addArguments(host, '-netdev', 'user,id=net1');
  const allowed = { OCF_RESKEY_allow_qemu_commandline: 'true' };
  const refused = await host.run('start', allowed);
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.reason).toContain('[qemu:arg] -netdev is not taken: remove it; write an [interface');
});

test('the example of ocf/ is the command that import would print', async () => {
  const script = await readFile(new URL('../../ocf/examples/create.sh', import.meta.url), 'utf8');
  const parameters = ['config=/etc/kemari/vm1.xml', "sync_address='n1:10.77.2.1;n2:10.77.2.2'"];
  expect(script).toContain(createCommand('vm1', parameters));
});
