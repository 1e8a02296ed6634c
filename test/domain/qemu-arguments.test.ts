// What a description may add to QEMU's command line, where that is allowed.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { judgeDomain, readDomain } from '../../src/domain/read-domain.js';

const example = await readFile(new URL('../../ocf/examples/vm1.xml', import.meta.url), 'utf8');
const NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';

/** The example with these elements, one in each line, from line 2 of what is added on. */
function withElements(...elements: readonly string[]): string {
  return example.replace(
    '</domain>',
    `<qemu:commandline xmlns:qemu='${NAMESPACE}'>\n${elements.join('\n')}\n</qemu:commandline></domain>`,
  );
}

function withWords(...words: readonly string[]): string {
  return withElements(...words.map((word) => `<qemu:arg value='${word}'/>`));
}

/** What is wrong with these words, each with the number of its word. */
function complaints(...words: readonly string[]): string[] {
  const first = example.split('\n').findIndex((line) => line.includes('</domain>')) + 2;
  const judged = judgeDomain(withWords(...words), 'vm1.xml', { qemu_commandline: true });
  if ('value' in judged) return [];
  return judged.complaints.map(({ line, text }) => `${line - first}: ${text}`);
}

const harmless: readonly string[] = [
  ...['-device', 'qemu-xhci,id=usb,addr=1d', '--device', 'driver=usb-tablet,bus=usb.0'],
  ...['-device', 'i6300esb', '-action', 'watchdog=inject-nmi', '-rtc', 'base=utc,driftfix=slew'],
  ...['-fw_cfg', 'name=opt/org.example/role,string=db,,primary', '-smbios', 'type=1,serial=A 1'],
  ...['-global', 'PIIX4_PM.disable_s3=1'],
];

test('words are taken as they are and in their order, if that is allowed', () => {
  const text = withWords(...harmless);
  expect(readDomain(text, 'vm1.xml', { qemu_commandline: true }).qemu_arguments).toEqual(harmless);
  const refusal =
    /^vm1\.xml:\d+: <qemu:commandline> is not supported: remove it, or allow it by the parameter/;
  expect(() => readDomain(text, 'vm1.xml')).toThrow(refusal);
  expect(() => readDomain(text, 'vm1.xml', { qemu_commandline: false })).toThrow(refusal);
});

test('without such an element nothing is added, allowed or not', () => {
  expect(readDomain(example, 'vm1.xml', { qemu_commandline: true }).qemu_arguments).toEqual([]);
});

describe('what would leave the hold on the guest is refused by name and line, allowed or not', () => {
  test.each([
    ['-incoming', 'tcp:0:4444', 'the engine starts the guest, stops it and carries it'],
    ['-S', undefined, 'the engine starts the guest'],
    ['-loadvm', 'before', 'the engine starts the guest'],
    ['-snapshot', undefined, 'what is written to it would not be on the other node'],
    ['-qmp', 'tcp:0:4445', "write <serial type='pty'/>"],
    ['-mon', 'chardev=talk', "write <serial type='pty'/>"],
    ['-monitor', 'stdio', "write <serial type='pty'/>"],
    [
      '-chardev',
      'socket,id=talk,path=/x',
      "write <serial type='pty'/> or <serial type='file'>; nobody but the engine speaks to QEMU",
    ],
    ['-serial', 'stdio', "write <serial type='pty'/>"],
    ['-machine', 'memory-backend=mine', 'write it in <os>'],
    ['-M', 'pc', 'write it in <os>'],
    ['-m', '64M', 'write <memory>'],
    ['-smp', '4', 'write it in <cpu> and <vcpu>'],
    ['-cpu', 'max', 'write it in <cpu> and <vcpu>'],
    ['-accel', 'tcg,thread=single', "write <domain type='kvm'>"],
    ['-object', 'memory-backend-ram,id=ram,size=1M', 'write the element that needs it'],
    ['-netdev', 'user,id=net0', "write an <interface type='bridge'>"],
    ['-nic', 'user', "write an <interface type='bridge'>"],
    ['-drive', 'file=/x', 'what is written to it would not be on the other node'],
    ['-blockdev', 'driver=file', 'what is written to it would not be on the other node'],
    ['-daemonize', undefined, 'the engine runs QEMU'],
    ['-sandbox', 'off', 'the engine runs QEMU'],
    ['-readconfig', '/x', 'the engine runs QEMU'],
    ['-vnc', ':0', 'write it in <video> and <graphics>'],
    ['-name', 'other', 'write it in <name> and <uuid>'],
    ['-no-such-thing-yet', undefined, '-device, -fw_cfg, -smbios, -rtc, -action, -global are'],
  ])('%s %s', (option, value, instead) => {
    for (const written of [option, `-${option}`])
      expect(complaints('-rtc', 'base=utc', written, ...(value === undefined ? [] : [value]))).toEqual([
        expect.stringContaining(`2: <qemu:arg> ${written} is not taken: remove it; ${instead}`),
      ]);
  });

  test.each([
    [
      '-device',
      'vfio-pci,host=01:00.0',
      'the device "vfio-pci", whose state, memory or outputs nobody holds',
    ],
    ['-device', 'vhost-vsock-pci,guest-cid=3', 'the device "vhost-vsock-pci"'],
    ['-device', 'vhost-user-fs-pci,chardev=fs', 'the device "vhost-user-fs-pci"'],
    ['-device', 'virtio-balloon-pci', 'the device "virtio-balloon-pci"'],
    ['-device', 'virtio-net-pci,netdev=net0', 'the device "virtio-net-pci"'],
    ['-device', 'virtio-blk-pci,drive=d', 'the device "virtio-blk-pci"'],
    ['-device', 'edu', 'the device "edu"'],
    ['-device', '{"driver":"edu"}', 'the device "{"driver":"edu"}"'],
    ['-device', 'edu,,=usb-tablet', 'the device "usb-tablet", whose state'],
    ['-device', 'usb-tablet,driver=edu', 'the property "driver" of a device'],
    ['-device', 'pcie-root-port,,edu', 'the device "pcie-root-port,edu"'],
    ['-device', 'usb-kbd,chardev=talk', 'the property "chardev" of a device: write one of id, bus, addr'],
    [
      '-global',
      'migration.send-configuration=on',
      '"migration.send-configuration=on": write NAME=VALUE with',
    ],
    ['-global', 'virtio-net-pci.x=1', '"virtio-net-pci.x=1"'],
    ['-fw_cfg', 'name=opt/a,file=/etc/shadow', 'a file might be another one on the other node'],
    ['-fw_cfg', 'name=etc/e820,string=x', '"name=etc/e820,string=x": write name=opt/NAME,string=TEXT'],
    ['-fw_cfg', 'opt/a,name=etc/e820,string=x', 'write name=opt/NAME,string=TEXT'],
    ['-smbios', 'file=/x', 'the property "file" of -smbios: write one of type'],
    ['-rtc', 'base=localtime', '"base=localtime": write base=utc or a date'],
    ['-rtc', 'clock=rt', '"clock=rt": write base=utc or a date'],
    ['-action', 'shutdown=poweroff', '"shutdown=poweroff": write watchdog= and one of reset'],
    ['-action', 'reset', '"reset": write watchdog= and one of reset'],
    ['-global', 'ICH9-LPC.disable_s3=0', 'write ICH9-LPC.disable_s3=1'],
    ['-action', 'watchdog=pause', '"watchdog=pause": write watchdog= and one of reset'],
  ])('%s %s', (option, value, expected) => {
    const [said, ...more] = complaints(option, value);
    expect(more).toEqual([]);
    expect(said).toMatch(/^1: <qemu:arg> has /);
    expect(said).toContain(expected);
  });

  test('a word that is no option, one that lacks its value, and all that is wrong at once', () => {
    expect(complaints('disk.img', '-device', '-rtc', 'base=utc', 'more', '-S')).toEqual([
      '0: <qemu:arg> disk.img is no option, so QEMU would take it for a disk: remove it',
      '1: <qemu:arg> -device lacks its value: add it as the next <qemu:arg>',
      '4: <qemu:arg> more is no option, so QEMU would take it for a disk: remove it',
      expect.stringContaining('5: <qemu:arg> -S is not taken'),
    ]);
  });

  test('too much, too long, not a line of text, and no word at all', () => {
    expect(complaints(...Array<string>(65).fill('-S')).at(0)).toContain('has 65 arguments: at most 64');
    for (const word of ['x'.repeat(1025), 'ä'.repeat(600), 'base=utc&#10;', 'base=utc&#27;'])
      expect(complaints('-rtc', word)).toEqual([
        expect.stringContaining('1: <qemu:arg> has a value of more'),
      ]);
    const judged = judgeDomain(withElements('<qemu:arg/>'), 'vm1.xml', { qemu_commandline: true });
    expect(judged).toMatchObject({
      complaints: [{ text: expect.stringContaining('lacks the attribute value') as string }],
    });
  });

  test("QEMU's environment", () => {
    const text = withElements("<qemu:env name='LD_PRELOAD' value='/x'/>", "<qemu:arg value='-S'/>");
    const judged = judgeDomain(text, 'vm1.xml', { qemu_commandline: true });
    expect(judged).toMatchObject({
      complaints: [
        {
          text: '<qemu:env> in <qemu:commandline> is not supported: remove it: the engine gives QEMU the environment that it runs in',
        },
        { text: expect.stringContaining('-S is not taken') as string },
      ],
    });
  });
});
