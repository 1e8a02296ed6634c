// Counts what a stage of the tests found. A stage that failed without a failed test counts as one failure: a sum with
// "0 failed" must mean that everything ran.

/** @typedef {{passed: number, failed: number}} Count */

/** @returns {Count} */
function honest(passed, failed, ok) {
  return { passed, failed: ok || failed > 0 ? failed : 1 };
}

/** Each tool is one check: "== NAME" begins it, "lint failed: NAME …" names those that failed. */
export function countLint(output, ok) {
  const tools = [...output.matchAll(/^== (\S+)$/gm)].length;
  const failed = /^lint failed: (.+)$/m.exec(output)?.[1]?.split(' ').length ?? 0;
  return honest(tools - failed, failed, ok);
}

/** Each binary's summary line. */
export function countCargo(output, ok) {
  const sum = (word) =>
    [...output.matchAll(/^test result: .*$/gm)]
      .map(([line]) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0))
      .reduce((total, count) => total + count, 0);
  return honest(sum('passed'), sum('failed'), ok);
}

/** Vitest's JSON report. */
export function countVitest(report, ok) {
  if (report === '') return honest(0, 0, false);
  const { numPassedTests, numFailedTests, success } = JSON.parse(report);
  return honest(numPassedTests, numFailedTests, ok && success);
}
