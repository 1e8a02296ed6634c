// Runs every check, one after another but for lint, which keeps one processor busy and goes on beside the engine's tests where time
// is short; shows what they print, and adds up what they found. What failed is named at the very end, for whoever reads the end of
// a long log only; the last line is the sum.
// usage: tests.mjs all|fast
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { countCargo, countLint, countVitest, summary, withoutSkips } from './tally.mjs';

const withLab = process.argv[2] === 'all';
process.chdir(new URL('../..', import.meta.url).pathname);
const start_ms = Date.now();
const reports = 'cache/reports';
await mkdir(reports, { recursive: true });

/**
 * Runs a command, showing its output while it runs; if it runs beside others, when it has ended. Its two streams are made one, so
 * that the output is in the order in which it was written.
 * @returns {Promise<{ok: boolean, output: string}>}
 */
function run(title, file, args, { isBeside = false, ...options } = {}) {
  const announce = () => {
    console.log(`\n=== ${title} (${Math.round((Date.now() - start_ms) / 1000)} s)`);
  };
  if (!isBeside) announce();
  return new Promise((resolve) => {
    const child = spawn('bash', ['-c', 'exec "$@" 2>&1', 'bash', file, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      ...options,
    });
    let output = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text) => {
      output += text;
      if (!isBeside) process.stdout.write(text);
    });
    child.on('error', (error) => {
      console.error(`${file} could not be started: ${error.message}`);
      resolve({ ok: false, output });
    });
    child.on('close', (code) => {
      if (isBeside) {
        announce();
        process.stdout.write(output);
      }
      resolve({ ok: code === 0, output });
    });
  });
}

async function lint() {
  const { ok, output } = await run('lint', 'npm', ['run', '--silent', 'lint'], { isBeside: !withLab });
  return countLint(output, ok);
}

/** Tests that need QEMU are the integration tests called qemu_*. */
async function cargo() {
  const args = ['test', '--locked', '--workspace', '--no-fail-fast'];
  if (!withLab) {
    const files = await readdir('native/tests').catch(() => []);
    const quick = files.filter((file) => file.endsWith('.rs') && !file.startsWith('qemu_'));
    args.push('--lib', '--bins', ...quick.flatMap((file) => ['--test', file.replace(/\.rs$/, '')]));
  }
  const engine = await run('cargo test', 'cargo', args, { cwd: 'native' });
  // The fuzz targets with their seeds alone: `npm run fuzz` must not be the first to see that they do not fit any more.
  const fuzz = ['test', '--locked', '--lib', '--target-dir', '../target'];
  const targets = await run('cargo test of the fuzz targets', 'cargo', fuzz, { cwd: 'native/fuzz' });
  // The micro-benchmarks, each once: nobody runs them often enough to see that they do not work any more.
  const once = ['test', '--locked', '--bench', '*'];
  const benches = await run('cargo test of the micro-benchmarks', 'cargo', once, { cwd: 'native' });
  return countCargo(engine.output + targets.output + benches.output, engine.ok && targets.ok && benches.ok);
}

async function vitest(project) {
  const file = `${reports}/${project}.json`;
  await rm(file, { force: true });
  const { ok } = await run(`vitest, project ${project}`, 'npx', [
    ...['--no-install', 'vitest', 'run', '--project', project, '--reporter', 'verbose'],
    ...['--reporter', 'json', `--outputFile.json=${file}`],
  ]);
  return countVitest(await readFile(file, 'utf8').catch(() => ''), ok);
}

const stages = {
  lint,
  'cargo test': cargo,
  'unit tests': () => vitest('unit'),
  'system tests': () => vitest('system'),
};
// Those of one line at the same time.
const order = withLab
  ? [['lint'], ['cargo test'], ['unit tests'], ['system tests']]
  : [['lint', 'cargo test'], ['unit tests']];
const counts = [];
for (const names of order) {
  const found = names.map(async (name) => {
    const count = await stages[name]();
    // run.sh has installed what all of them need. The quick run goes without the cluster's tools and QEMU.
    return { name, ...(withLab ? withoutSkips(count) : count) };
  });
  counts.push(...(await Promise.all(found)));
}

console.log(`\n${summary(counts, Math.round((Date.now() - start_ms) / 1000)).join('\n')}`);
process.exitCode = counts.every(({ failed }) => failed === 0) ? 0 : 1;
