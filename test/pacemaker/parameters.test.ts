import { describe, expect, test } from 'vitest';
import { AgentError } from '../../src/common/error.js';
import { parseSyncAddress } from '../../src/pacemaker/parameter-kinds.js';
import { parameterList, readParameters } from '../../src/pacemaker/parameters.js';

const config = { OCF_RESKEY_config: '/etc/kemari/vm1.xml' };

test('what is left out, or empty, is what the table says', () => {
  expect(readParameters({ ...config, OCF_RESKEY_sync_mode: '' })).toEqual({
    config: '/etc/kemari/vm1.xml',
    sync_address: undefined,
    migration_network_suffix: '',
    sync_port: 7900,
    transport: 'tls',
    key: '/etc/kemari/sync.key',
    sync_mode: 'adaptive',
    commit: 'pipelined',
    latency_budget: 5000,
    interval: 20_000,
    paused_max: 75,
    compression: 'auto',
    epoch_age: 100_000,
    epoch_mib: 16,
    hold_mib: 4,
    ack_timeout: 3_000_000,
    freeze_timeout: 60_000_000,
    time_catch_up: 15_000_000,
    wake_latency: 0,
    tracker: 'auto',
    allow_unfenced: false,
    allow_qemu_commandline: false,
    monitor_scripts: [],
    autoset_utilization_cpu: true,
    autoset_utilization_hv_memory: true,
    force_stop: false,
    shutdown_mode: 'acpi',
    log_level: 'info',
  });
});

test('every fallback is a value that would be taken', () => {
  for (const [, { kind, fallback }] of parameterList)
    if (fallback !== undefined) expect(kind.parse(fallback)).toHaveProperty('value');
});

test.each([
  ['5ms', 5000],
  ['5000us', 5000],
  ['1', 1_000_000],
  ['1s', 1_000_000],
  ['0', 0],
  ['250msec', 250_000],
])('a latency budget of %s is %d us', (text, us) => {
  expect(readParameters({ ...config, OCF_RESKEY_latency_budget: text }).latency_budget).toBe(us);
});

test.each([
  ['interval', '0', 'must be a time from 1ms to 10s in whole ms, not "0"'],
  ['interval', '11s', 'must be a time from 1ms to 10s'],
  ['interval', '1500us', 'must be a time from 1ms to 10s in whole ms'],
  ['interval', '20parsecs', 'must be a time'],
  ['interval', '-1ms', 'must be a time'],
  ['interval', '1toString', 'must be a time'],
  ['epoch_mib', '1.5', 'must be a whole number from 1 to 1024, not "1.5"'],
  ['commit', 'Sync', 'must be one of pipelined, sync, not "Sync"'],
  ['config', '/etc/\u0007', 'must be an absolute path'],
  ['force_stop', 'perhaps', 'must be true or false, not "perhaps"'],
  ['sync_address', 'n1:10.0.0.1;n1:10.0.0.2', 'names n1 twice: remove one'],
  [
    'migration_network_suffix',
    '-sync;reboot',
    'must be a piece of a host name such as -sync, not "-sync;reboot"',
  ],
  ['shutdown_mode', 'agent', 'is agent, which Kemari has no way into the guest for: write acpi'],
  ['shutdown_mode', 'gently', 'must be one of acpi, not "gently"'],
  ['monitor_scripts', '/etc/kemari/web db', 'must be absolute paths with spaces between, such as'],
  ['monitor_scripts', Array(17).fill('/bin/true').join(' '), 'names 17 scripts: at most 16'],
  ['freeze_timeout', '500us', 'must be a time from 0 to 86400s in whole ms'],
  ['sync_address', 'n1:10.0.0.1;n2:host', 'must be nodes and addresses such as'],
  ['sync_address', 'n1:10.0.0.1;n2:10.0.0.2:70000', 'must be nodes and addresses such as'],
  ['key', `/${'x'.repeat(2000)}`, 'must be an absolute path'],
])('%s = %s is refused', (name, value, sentence) => {
  const read = () => readParameters({ ...config, [`OCF_RESKEY_${name}`]: value });
  expect(read).toThrow(AgentError);
  expect(read).toThrow(`parameter ${name} ${sentence}`);
  expect(read).toThrow(/^.{1,400}$/s);
});

describe('addresses', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1', undefined],
    ['10.0.0.1:7901', '10.0.0.1', 7901],
    ['fd00::1', 'fd00::1', undefined],
    ['[fd00::1]', 'fd00::1', undefined],
    ['[fd00::1]:7901', 'fd00::1', 7901],
  ])('%s', (text, address, port) => {
    expect(parseSyncAddress(text)).toEqual({ address, port });
  });

  test.each(['', 'host', '10.0.0', '10.0.0.1:', '10.0.0.1:0', '[10.0.0.1]', '[fd00::1', 'fd00::1]:1'])(
    '"%s" is none',
    (text) => {
      expect(parseSyncAddress(text)).toBeUndefined();
    },
  );

  test.each(['n1:10.0.0.1;n2:fd00::2', 'n1:10.0.0.1 n2:fd00::2', 'n1=10.0.0.1, n2=[fd00::2]'])(
    'of the nodes: %s',
    (text) => {
      const { sync_address } = readParameters({ ...config, OCF_RESKEY_sync_address: text });
      expect([...(sync_address ?? [])].map(([node, { address }]) => `${node} ${address}`)).toEqual([
        'n1 10.0.0.1',
        'n2 fd00::2',
      ]);
    },
  );
});
