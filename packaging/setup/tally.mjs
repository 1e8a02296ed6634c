// Counts what a stage of the tests found, and names what failed. A stage that failed without a failed test counts as one
// failure: a sum with "0 failed" must mean that everything ran. What did not run, because this machine lacks what it needs, is
// counted and named too.
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** @typedef {{file: string, test: string, error: string}} Failure one thing that failed, with the first line of its error */
/** @typedef {{file: string, test: string}} Skip one thing that was not run */
/** @typedef {{passed: number, failed: number, failures: Failure[], skips: Skip[]}} Count */

/** @returns {Count} `failures` has at least one entry where `failed` is not 0. */
function honest(passed, failed, ok, failures, skips = []) {
  const named = failures.length > 0 || (ok && failed === 0) ? failures : [unnamed];
  return { passed, failed: Math.max(failed, named.length), failures: named, skips };
}

/**
 * The count of a run that has installed all that its tests need: one that was skipped is one that failed.
 * @param {Count} count
 * @returns {Count}
 */
export function withoutSkips({ passed, failed, failures, skips }) {
  const error = 'skipped, and this run skips nothing: what the test needs is missing';
  return {
    passed,
    failed: failed + skips.length,
    failures: [...failures, ...skips.map((skip) => ({ ...skip, error }))],
    skips: [],
  };
}

/**
 * What the end of the output says of all stages; the last line is the sum.
 * @param {(Count & {name: string})[]} counts
 * @param {number} seconds
 * @returns {string[]}
 */
export function summary(counts, seconds) {
  const sum = (of) => counts.reduce((total, count) => total + of(count), 0);
  const line = (passed, failed, skipped) =>
    `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
  const place = (...parts) => parts.filter((part) => part !== '').join(' > ');
  return [
    ...counts.map(({ name, passed, failed, skips }) => `${name}: ${line(passed, failed, skips.length)}`),
    `${seconds} s in all`,
    ...counts.flatMap(({ name, skips }) =>
      skips.map(({ file, test }) => `skipped: ${place(name, file, test)}`),
    ),
    ...counts.flatMap(({ name, failures }) =>
      failures.map(({ file, test, error }) => `failed: ${place(name, file, test)}\n        ${error}`),
    ),
    line(
      sum(({ passed }) => passed),
      sum(({ failed }) => failed),
      sum(({ skips }) => skips.length),
    ),
  ];
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
  const parts = output.split(/^(?= +(?:Running|Doc-tests) )/m);
  const failures = parts.flatMap(cargoFailures);
  const [, listed = ''] = /^error: \d+ targets? failed:\n((?: +`.*\n?)*)/m.exec(output) ?? [];
  const ended = [...listed.matchAll(/`(.*)`/g)]
    .filter(([, target]) => !failures.some((failure) => failure.target === target))
    .map(([, target]) => ({ file: target, test: 'the test binary', error: 'ended before its tests did' }));
  const broken = /^error(?:\[\w+\])?: (?!test failed|\d+ targets? failed).*$/m.exec(output);
  if (broken !== null && !ok && failures.length + ended.length === 0) {
    ended.push({ file: '', test: 'the build', error: firstLine(broken[0]) });
  }
  const named = failures.map(({ file, test, error }) => ({ file, test, error }));
  return honest(sum('passed'), sum('failed'), ok, [...named, ...ended], parts.flatMap(cargoSkips));
}

/** The file whose tests are one part of the output. */
function cargoFile(part) {
  return /^ +(?:Running (?:unittests )?|Doc-tests )(\S+)/.exec(part)?.[1] ?? '';
}

/** What is marked `#[ignore]` in one binary's part of the output. */
function cargoSkips(part) {
  const file = cargoFile(part);
  return [...part.matchAll(/^test (.+?) \.\.\. ignored/gm)].map(([, test]) => ({ file, test }));
}

/** What failed in one binary's part of the output; `target` is how Cargo names that binary. */
function cargoFailures(part) {
  const file = cargoFile(part);
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
  const skips = testResults.flatMap(({ name, assertionResults = [] }) =>
    assertionResults
      .filter((test) => !['passed', 'failed'].includes(test.status))
      .map(({ fullName }) => ({ file: relative(process.cwd(), name), test: fullName })),
  );
  return honest(numPassedTests, numFailedTests, ok && success, failures, skips);
}
