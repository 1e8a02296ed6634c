// The sum at the end of `npm test` is only worth something if a stage cannot fail without being counted.
import { execa } from 'execa';
import { expect, test } from 'vitest';

const tally = new URL('../../packaging/setup/tally.mjs', import.meta.url).href;

async function count(call: string): Promise<unknown> {
  const program = `import * as tally from '${tally}'; console.log(JSON.stringify(tally.${call}))`;
  const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', program]);
  return JSON.parse(stdout);
}

test('each lint tool is one check', async () => {
  const output = '== eslint\n== tsc\nerror\n== shellcheck\nlint failed: tsc\n';
  expect(await count(`countLint(${JSON.stringify(output)}, false)`)).toEqual({ passed: 2, failed: 1 });
});

test('the results of all test binaries are added', async () => {
  const output = [
    'test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s',
    'test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s',
  ].join('\n');
  expect(await count(`countCargo(${JSON.stringify(output)}, false)`)).toEqual({ passed: 15, failed: 2 });
});

test('tests that do not compile are a failure', async () => {
  expect(await count(`countCargo('error[E0425]: cannot find value', false)`)).toEqual({
    passed: 0,
    failed: 1,
  });
});

test('vitest without a report is a failure', async () => {
  expect(await count(`countVitest('', true)`)).toEqual({ passed: 0, failed: 1 });
});

test('a file that could not be loaded is a failure although no test failed', async () => {
  const report = JSON.stringify({ numPassedTests: 4, numFailedTests: 0, success: false });
  expect(await count(`countVitest(${JSON.stringify(report)}, false)`)).toEqual({ passed: 4, failed: 1 });
});
