// Counts what a stage of the tests found, and names what failed. A stage that failed without a failed test counts as one
// failure: a sum with "0 failed" must mean that everything ran.
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** @typedef {{file: string, test: string, error: string}} Failure one thing that failed, with the first line of its error */
/** @typedef {{passed: number, failed: number, failures: Failure[]}} Count */

/** @returns {Count} `failures` has at least one entry where `failed` is not 0. */
function honest(passed, failed, ok, failures) {
  const named = failures.length > 0 || (ok && failed === 0) ? failures : [unnamed];
  return { passed, failed: Math.max(failed, named.length), failures: named };
}

const unnamed = {
  file: '',
  test: 'no test is to blame',
  error: 'the stage failed: its output above says why',
};

/** The first line that says something, without colours, cut to what fits a terminal or two. */
function firstLine(text) {
  const lines = stripVTControlCharacters(text).split('\n');
  return (lines.find((line) => line.trim() !== '') ?? 'no message').trim().slice(0, 240);
}

/** Each tool is one check: "== NAME" begins it, "lint failed: NAME …" names those that failed. */
export function countLint(output, ok) {
  const tools = new Map(
    output
      .split(/^== /m)
      .slice(1)
      .map((part) => [part.slice(0, part.indexOf('\n')), part.slice(part.indexOf('\n'))]),
  );
  const names = /^lint failed: (.+)$/m.exec(output)?.[1]?.split(' ') ?? [];
  const failures = names.map((name) => ({ file: '', test: name, error: firstLine(tools.get(name) ?? '') }));
  return honest(tools.size - names.length, names.length, ok, failures);
}

/** Each binary's summary line; the binaries that failed without one are named by Cargo at the end. */
export function countCargo(output, ok) {
  const sum = (word) =>
    [...output.matchAll(/^test result: .*$/gm)]
      .map(([line]) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0))
      .reduce((total, count) => total + count, 0);
  const failures = output.split(/^(?= +(?:Running|Doc-tests) )/m).flatMap(cargoFailures);
  const [, listed = ''] = /^error: \d+ targets? failed:\n((?: +`.*\n?)*)/m.exec(output) ?? [];
  const ended = [...listed.matchAll(/`(.*)`/g)]
    .filter(([, target]) => !failures.some((failure) => failure.target === target))
    .map(([, target]) => ({ file: target, test: 'the test binary', error: 'ended before its tests did' }));
  const broken = /^error(?:\[\w+\])?: (?!test failed|\d+ targets? failed).*$/m.exec(output);
  if (broken !== null && !ok && failures.length + ended.length === 0) {
    ended.push({ file: '', test: 'the build', error: firstLine(broken[0]) });
  }
  const named = failures.map(({ file, test, error }) => ({ file, test, error }));
  return honest(sum('passed'), sum('failed'), ok, [...named, ...ended]);
}

/** What failed in one binary's part of the output; `target` is how Cargo names that binary. */
function cargoFailures(part) {
  const file = /^ +(?:Running (?:unittests )?|Doc-tests )(\S+)/.exec(part)?.[1] ?? '';
  const target = /^error: (?:doc)?test failed, to rerun pass `(.*)`$/m.exec(part)?.[1];
  return [...part.matchAll(/^test (.+?)(?: - should panic)? \.\.\. FAILED$/gm)].map(([, test]) => {
    const said = part.split(`---- ${test} stdout ----\n`)[1]?.split(/^(?:---- |failures:$)/m)[0] ?? '';
    const panic = /^thread .* panicked at .*:\n(.*)$/m.exec(said)?.[1];
    return { file, target, test, error: firstLine(panic ?? said) };
  });
}

/** Vitest's JSON report. */
export function countVitest(report, ok) {
  if (report === '') return honest(0, 0, false, []);
  const { numPassedTests, numFailedTests, success, testResults = [] } = JSON.parse(report);
  const failures = testResults.flatMap(({ name, status, message = '', assertionResults = [] }) => {
    const file = relative(process.cwd(), name);
    const tests = assertionResults
      .filter((test) => test.status === 'failed')
      .map(({ fullName, failureMessages }) => ({
        file,
        test: fullName,
        error: firstLine(failureMessages[0] ?? ''),
      }));
    if (status !== 'failed' || tests.length > 0) return tests;
    return [{ file, test: 'the file itself', error: firstLine(message) }];
  });
  return honest(numPassedTests, numFailedTests, ok && success, failures);
}
