// A fuzzer that was asked for nonsense, or whose output is misread, finds nothing and looks well.
import { execa } from 'execa';
import { expect, test } from 'vitest';

const command = new URL('../../packaging/setup/fuzz.mjs', import.meta.url).pathname;
const report = (await import(new URL('../../packaging/setup/fuzz-report.mjs', import.meta.url).href)) as {
  parseFuzzArguments: (args: readonly string[]) => unknown;
  readStatistics: (output: string) => unknown;
  readMutations: (output: string) => unknown;
};
const parse = (...args: string[]) => report.parseFuzzArguments(args);

test('nothing said means every target for a bounded time', () => {
  expect(parse()).toEqual({ seconds: 20, targets: [], json: false, list: false });
});

test('time, targets and form can be chosen, with or without an equals sign', () => {
  const wanted = { seconds: 7, targets: ['qmp', 'spec'], json: true, list: false };
  expect(parse('--seconds', '7', '--target', 'qmp', '--target=spec', '--json')).toEqual(wanted);
  expect(parse('--seconds=7', '--json', '--target=qmp', '--target', 'spec')).toEqual(wanted);
  expect(parse('--list')).toMatchObject({ list: true });
});

test.each([
  [['--seconds', '0'], '--seconds is "0": a whole number from 1 to 86400 is expected'],
  [['--seconds', '86401'], '--seconds is "86401": a whole number from 1 to 86400 is expected'],
  [['--seconds'], '--seconds is "": a whole number from 1 to 86400 is expected'],
  [['--target', '../x'], '--target is "../x": a name is expected, see --list'],
  [['--target'], '--target is "": a name is expected, see --list'],
  [['--jobs', '3'], '"--jobs" is not known'],
  [['qmp'], '"qmp" is not known'],
])('%j is refused with one sentence', (args, problem) => {
  expect(parse(...args)).toEqual({ problem });
});

test('what cannot be understood ends with 2 before anything is built or run', async () => {
  const check = (...args: string[]) =>
    execa(process.execPath, [command, 'check', ...args], { reject: false });
  expect(await check('--seconds', '5')).toMatchObject({ exitCode: 0, stdout: 'engine and agent' });
  expect(await check('--target=agent')).toMatchObject({ exitCode: 0, stdout: 'agent' });
  expect(await check('--target=agent', '--target=qmp')).toMatchObject({ stdout: 'engine and agent' });
  const { exitCode, stderr } = await check('--seconds', 'x');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('usage: npm run fuzz');
});

test('the runs and the coverage are read from what libFuzzer says', () => {
  const output = [
    '#2\tINITED cov: 118 ft: 119 corp: 1/4b exec/s: 0 rss: 41Mb',
    '#65536\tpulse  cov: 240 ft: 900 corp: 60/4Kb lim: 652 exec/s: 21845 rss: 60Mb',
  ].join('\n');
  const read = report.readStatistics;
  expect(read(`${output}\nDone 101234 runs in 3 second(s)\n`)).toEqual({
    runs: 101_234,
    coverage: 240,
  });
  expect(read(output)).toEqual({ runs: 65_536, coverage: 240 });
  expect(read('no such program')).toEqual({ runs: 0, coverage: 0 });
});

test('the agent is fuzzed alone, for the time that was given and from the seed that was given', async () => {
  const asked = ['run', '--target', 'agent', '--seconds', '2', '--json'];
  const { stdout, stderr } = await execa(process.execPath, [command, ...asked], {
    env: { KEMARI_TEST_SEED: '77' },
  });
  expect(stderr).toContain('seed 77');
  const { seconds, targets } = JSON.parse(stdout) as { seconds: number; targets: Record<string, unknown>[] };
  expect(seconds).toBe(2);
  expect(targets).toEqual([
    {
      target: 'agent',
      ok: true,
      seed: 77,
      runs: expect.any(Number) as number,
      coverage: null,
      reproducers: [],
    },
  ]);
  expect(targets[0]?.['runs']).toBeGreaterThan(100);
});

test('the mutants are read from what the tests of the parsers say', () => {
  const read = report.readMutations;
  expect(read('stdout | a test\nseed 77: 4021 mutants\n\n')).toEqual({ runs: 4021, coverage: null });
  expect(read('no such program')).toEqual({ runs: 0, coverage: null });
});
