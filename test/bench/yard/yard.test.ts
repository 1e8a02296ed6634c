import { describe, expect, test } from 'vitest';
import { parseRedis, parseWrk } from '../loads.js';
import { parseReplayed, parseStateTimes, parseUsage } from './engine.js';
import { specOf, SMALL } from './machine.js';
import { plainCommand } from './plain-command.js';

describe('the unprotected guest', () => {
  // As native/src/guest/command.rs makes it.
  const guarded = [
    ...['/usr/bin/qemu-system-x86_64', '-name', 'guest=small,debug-threads=on', '-smp', '2', '-m', '256M'],
    ...['-object', 'memory-backend-file,id=ram,size=256M,share=on,mem-path=/proc/self/fd/12'],
    ...['-append', 'console=ttyS0 kemari.ip=10.77.3.10/24 quiet'],
    ...['-netdev', 'dgram,id=net0,local.type=fd,local.str=13'],
    ...['-device', 'virtio-net-pci,netdev=net0,romfile=,ioeventfd=off,mac=52:54:00:6b:00:0a'],
    ...['-chardev', 'file,id=console,path=/run/console,append=on', '-serial', 'chardev:console'],
    ...['-chardev', 'socket,id=talk,fd=14', '-chardev', 'udp,id=orders,host=127.0.0.1,port=9,mux=on'],
    ...['-mon', 'chardev=talk,mode=control', '-mon', 'chardev=orders,mode=control'],
    ...['-incoming', 'defer', '-only-migratable', '-S'],
  ];
  const machine = {
    ...{ tap: 'psmall', mac: '52:54:00:6b:00:0b', address: '10.77.3.11' },
    ...{ console_log: '/tmp/console' },
  };

  test('is the protected one on a TAP device, with an address of its own', () => {
    expect(plainCommand(guarded, machine)).toEqual([
      ...['/usr/bin/qemu-system-x86_64', '-name', 'guest=small,debug-threads=on', '-smp', '2', '-m', '256M'],
      ...['-object', 'memory-backend-memfd,id=ram,size=256M,share=on'],
      ...['-append', 'console=ttyS0 kemari.ip=10.77.3.11/24 quiet'],
      ...['-netdev', 'tap,id=net0,ifname=psmall,script=no,downscript=no,vhost=off'],
      ...['-device', 'virtio-net-pci,netdev=net0,romfile=,ioeventfd=on,mac=52:54:00:6b:00:0b'],
      ...['-chardev', 'file,id=console,path=/tmp/console', '-serial', 'chardev:console'],
      '-only-migratable',
    ]);
  });

  test('is refused when the protected one is not as it was thought to be', () => {
    const other = guarded.map((word) => word.replace('dgram,', 'socket,'));
    expect(() => plainCommand(other, machine)).toThrow(/not started with: -netdev dgram,/);
    const more = [...guarded, '-chardev', 'socket,id=agent,fd=20'];
    expect(() => plainCommand(more, machine)).toThrow(/cannot have the engine's socket,id=agent,fd=20/);
  });
});

test('the engines of a pair are told of each other, and of the same machine', async () => {
  const specs = await Promise.all(
    (['n1', 'n2'] as const).map((host) =>
      specOf({ machine: SMALL, host, run: '/tmp/run', sync_mode: 'event' }),
    ),
  );
  const [first, second] = specs;
  expect(first?.peers).toEqual([{ node: 'n2', ...second?.listen }]);
  expect(second?.peers).toEqual([{ node: 'n1', ...first?.listen }]);
  expect(first?.tuning.sync_mode).toBe('event');
  expect({ ...first?.machine, console_log: '' }).toEqual({ ...second?.machine, console_log: '' });
});

test('what a process has used is read from its own files', () => {
  const stat = `7 (a ) b) S 1 7 7 0 -1 4194304 ${'0 '.repeat(4)}150 50 0 0 20 0 3 0`;
  expect(parseUsage(`${stat}\nName:\ta\nRssAnon:\t   2048 kB\nThreads:\t3\n`)).toEqual({
    ...{ cpu_seconds: 2, own_mib: 2 },
  });
  expect(() => parseUsage('')).toThrow(/no process/);
});

test('the times of states are those of the log, the last of each', () => {
  const line = (second: number, state: string): string =>
    JSON.stringify({ timestamp: `2026-01-01T00:00:0${second}.5Z`, level: 'INFO', message: 'state', state });
  const log = [line(1, 'Receiving'), 'not JSON', line(2, 'InSync'), line(3, 'Receiving'), '{}', ''].join(
    '\n',
  );
  const times = parseStateTimes(log);
  expect((times.get('Receiving') ?? 0) - (times.get('InSync') ?? 0)).toBe(1000);
});

test('what a promotion has sent again is what the log says of the last one', () => {
  const line = (replayed: number): string =>
    JSON.stringify({ level: 'INFO', message: 'promoted', generation: 2, replayed });
  expect(parseReplayed([line(3), 'not JSON', line(1), '{}', ''].join('\n'))).toBe(1);
  expect(() => parseReplayed('{"message":"state"}\n')).toThrow(/does not tell/);
});

describe('what the tools say', () => {
  test('is their rate', () => {
    expect(parseWrk('Running 1s test\nRequests/sec:   1532.41\nTransfer/sec: 1.8MB\n')).toBe(1532.41);
    const csv = '"test","rps","avg_latency_ms"\n"SET","2952.1","5.3"\n"GET","4672.5","3.1"\n';
    expect([...parseRedis(csv)]).toEqual([
      ['SET', 2952.1],
      ['GET', 4672.5],
    ]);
  });

  test('is an error when something went wrong', () => {
    const errors = 'Socket errors: connect 16, read 0, write 0, timeout 0';
    expect(() => parseWrk(`  ${errors}\nRequests/sec: 0.00\n`)).toThrow(errors);
    expect(() => parseWrk('Non-2xx or 3xx responses: 7\nRequests/sec: 7.00\n')).toThrow(/Non-2xx/);
    expect(() => parseWrk('unable to connect')).toThrow(/did not say/);
    expect(() => parseRedis('"SET","1.0"')).toThrow(/did not say/);
  });
});
