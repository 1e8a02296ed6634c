// The sum at the end of `npm test` is only worth something if a stage cannot fail without being counted, and
// what failed is named in it.
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished, test } from 'vitest';

const tally = new URL('../../packaging/setup/tally.mjs', import.meta.url).href;

async function count(call: string): Promise<unknown> {
  const program = `import * as tally from '${tally}'; console.log(JSON.stringify(tally.${call}))`;
  const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', program]);
  return JSON.parse(stdout);
}

test('each lint tool is one check, and one that fails is named', async () => {
  const output = '== eslint\n== tsc\n\nsrc/a.ts(1,2): error TS1\nmore\n== shellcheck\nlint failed: tsc\n';
  expect(await count(`countLint(${JSON.stringify(output)}, false)`)).toEqual({
    passed: 2,
    failed: 1,
    failures: [{ file: '', test: 'tsc', error: 'src/a.ts(1,2): error TS1' }],
    skips: [],
  });
});

const cargoOutput = [
  '     Running unittests src/lib.rs (target/debug/deps/kemari-1)',
  'running 14 tests',
  'test a::works ... ok',
  'test a::slow ... ignored, takes a day',
  'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s',
  '     Running tests/qemu_a.rs (target/debug/deps/qemu_a-1)',
  'test one_thing ... FAILED',
  'test other_thing - should panic ... FAILED',
  'failures:',
  '',
  '---- one_thing stdout ----',
  '',
  "thread 'one_thing' (7) panicked at tests/qemu_a.rs:1:2:",
  'assertion `left == right` failed: pages',
  '  left: 1',
  '---- other_thing stdout ----',
  'note: test did not panic as expected',
  '',
  'failures:',
  '    one_thing',
  '    other_thing',
  'test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s',
  'error: test failed, to rerun pass `--test qemu_a`',
].join('\n');

test('the results of all test binaries are added, and the tests that failed are named', async () => {
  expect(await count(`countCargo(${JSON.stringify(cargoOutput)}, false)`)).toEqual({
    passed: 15,
    failed: 2,
    failures: [
      { file: 'tests/qemu_a.rs', test: 'one_thing', error: 'assertion `left == right` failed: pages' },
      { file: 'tests/qemu_a.rs', test: 'other_thing', error: 'note: test did not panic as expected' },
    ],
    skips: [{ file: 'src/lib.rs', test: 'a::slow' }],
  });
});

test('a test binary that died beside one that failed is counted and named too', async () => {
  const output = [
    cargoOutput,
    '     Running tests/b.rs (target/debug/deps/b-1)',
    'error: test failed, to rerun pass `--test b`',
    'error: 2 targets failed:',
    '    `--test qemu_a`',
    '    `--test b`',
  ].join('\n');
  expect(await count(`countCargo(${JSON.stringify(output)}, false)`)).toMatchObject({
    failed: 3,
    failures: [
      { test: 'one_thing' },
      { test: 'other_thing' },
      { file: '--test b', test: 'the test binary', error: 'ended before its tests did' },
    ],
  });
});

test('tests that do not compile are a failure', async () => {
  expect(await count(`countCargo('error[E0425]: cannot find value', false)`)).toEqual({
    passed: 0,
    failed: 1,
    failures: [{ file: '', test: 'the build', error: 'error[E0425]: cannot find value' }],
    skips: [],
  });
});

test('vitest without a report is a failure', async () => {
  expect(await count(`countVitest('', true)`)).toMatchObject({
    passed: 0,
    failed: 1,
    failures: [{ test: 'no test is to blame' }],
  });
});

test('a test that failed is named with its file and the first line of its error', async () => {
  const assertionResults = [
    { status: 'passed', fullName: 'stop stops' },
    {
      status: 'failed',
      fullName: 'start starts',
      failureMessages: ['\u001b[31mError: late\u001b[39m\n    at a.ts'],
    },
  ];
  const testResults = [{ name: `${process.cwd()}/test/a.test.ts`, status: 'failed', assertionResults }];
  const report = JSON.stringify({ numPassedTests: 1, numFailedTests: 1, success: false, testResults });
  expect(await count(`countVitest(${JSON.stringify(report)}, false)`)).toEqual({
    passed: 1,
    failed: 1,
    failures: [{ file: 'test/a.test.ts', test: 'start starts', error: 'Error: late' }],
    skips: [],
  });
});

test('a file that could not be loaded is a failure although no test failed', async () => {
  const testResults = [
    {
      name: `${process.cwd()}/test/b.test.ts`,
      status: 'failed',
      message: 'Cannot find x',
      assertionResults: [],
    },
  ];
  const report = JSON.stringify({ numPassedTests: 4, numFailedTests: 0, success: false, testResults });
  expect(await count(`countVitest(${JSON.stringify(report)}, false)`)).toEqual({
    passed: 4,
    failed: 1,
    failures: [{ file: 'test/b.test.ts', test: 'the file itself', error: 'Cannot find x' }],
    skips: [],
  });
});

const skipped = JSON.stringify({
  numPassedTests: 1,
  numFailedTests: 0,
  success: true,
  testResults: [
    {
      name: `${process.cwd()}/test/c.test.ts`,
      status: 'passed',
      assertionResults: [
        { status: 'passed', fullName: 'the agent acts' },
        { status: 'skipped', fullName: 'the agent passes ocf-tester' },
        { status: 'todo', fullName: 'the agent sings' },
      ],
    },
  ],
});

test('what was not run is counted and named', async () => {
  expect(await count(`countVitest(${JSON.stringify(skipped)}, true)`)).toEqual({
    passed: 1,
    failed: 0,
    failures: [],
    skips: [
      { file: 'test/c.test.ts', test: 'the agent passes ocf-tester' },
      { file: 'test/c.test.ts', test: 'the agent sings' },
    ],
  });
  const stages = `[{ name: 'unit tests', ...tally.countVitest(${JSON.stringify(skipped)}, true) }]`;
  expect(await count(`summary(${stages}, 7)`)).toEqual([
    'unit tests: 1 passed, 0 failed, 2 skipped',
    '7 s in all',
    'skipped: unit tests > test/c.test.ts > the agent passes ocf-tester',
    'skipped: unit tests > test/c.test.ts > the agent sings',
    '1 passed, 0 failed, 2 skipped',
  ]);
});

test('in a run that has all that its tests need, one that is skipped has failed', async () => {
  const strict = `withoutSkips(tally.countVitest(${JSON.stringify(skipped)}, true))`;
  expect(await count(strict)).toMatchObject({ passed: 1, failed: 2, skips: [] });
  expect(await count(`summary([{ name: 'unit tests', ...tally.${strict} }], 7)`)).toEqual([
    'unit tests: 1 passed, 2 failed',
    '7 s in all',
    expect.stringMatching(
      /^failed: unit tests > test\/c\.test\.ts > the agent passes ocf-tester\n +skipped, and this run skips nothing/,
    ),
    expect.stringContaining('the agent sings'),
    '1 passed, 2 failed',
  ]);
});

/** The whole run with tools that find nothing, of whose unit and system tests one each is skipped. */
async function runOf(which: string): Promise<{ exitCode: number | undefined; lines: string[] }> {
  const folder = await mkdtemp('/tmp/kemari-tally-');
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const part of ['packaging/setup', 'native/fuzz', 'bin'])
    await mkdir(join(folder, part), { recursive: true });
  for (const name of ['tests.mjs', 'tally.mjs'])
    await copyFile(
      new URL(`../../packaging/setup/${name}`, import.meta.url),
      join(folder, 'packaging/setup', name),
    );
  const tools = {
    npm: 'echo "== eslint"; echo "lint passed"',
    cargo: 'echo "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured"',
    npx: `for word; do case $word in --outputFile.json=*) echo '${skipped}' >"\${word#*=}" ;; esac; done`,
  };
  for (const [name, script] of Object.entries(tools))
    await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const { exitCode, stdout } = await execa(
    process.execPath,
    [join(folder, 'packaging/setup/tests.mjs'), which],
    { env: { PATH: `${folder}/bin:/usr/bin:/bin` }, reject: false },
  );
  return { exitCode, lines: stdout.split('\n') };
}

test('the full run fails for a test that was skipped, the quick one names it', async () => {
  const full = await runOf('all');
  expect(full.exitCode).toBe(1);
  expect(full.lines.at(-1)).toBe('6 passed, 4 failed');
  const quick = await runOf('fast');
  expect(quick.exitCode).toBe(0);
  expect(quick.lines.at(-1)).toBe('5 passed, 0 failed, 2 skipped');
  expect(quick.lines.filter((line) => line.startsWith('skipped: '))).toHaveLength(2);
});
