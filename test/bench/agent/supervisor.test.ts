import { expect, test } from 'vitest';
import { parseSupervisorUsage } from './supervisor.js';

const STAT = `4711 (kemari) s) S 1 2 3 4 5 6 7 8 9 10 150 50 20 5 20 0 11 0 9999 0 0`;
const STATUS = 'Name:\tkemari\nVmHWM:\t   61520 kB\nVmRSS:\t   51200 kB\n';
const ROLLUP =
  '00400000-7ffd [rollup]\nRss:               51200 kB\nPss:               48128 kB\nPss_Anon: 1 kB\n';

test('what a supervisor uses is its own time and that of the programs it has waited for', () => {
  expect(parseSupervisorUsage(`${STAT}\n${STATUS}${ROLLUP}`)).toEqual({
    cpu_seconds: 2.25,
    resident_mib: 50,
    proportional_mib: 47,
  });
});

test('what is no process is refused', () => {
  expect(() => parseSupervisorUsage('')).toThrow('this is no process');
});
