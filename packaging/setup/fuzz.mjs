// Fuzzes everything that parses bytes from outside, each target for a bounded time, and says what was found.
// usage: fuzz.mjs check|run [--seconds N] [--target NAME]... [--json] [--list]; check only reads the arguments,
// and says whether the engine's targets are needed.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AGENT, parseFuzzArguments, readMutations, readStatistics, usage } from './fuzz-report.mjs';

const [mode, ...args] = process.argv.slice(2);
const wanted = parseFuzzArguments(args);
if ('problem' in wanted) {
  console.error(`${wanted.problem}\n${usage}`);
  process.exit(2);
}
const engineToo = wanted.list || wanted.targets.length === 0 || wanted.targets.some((name) => name !== AGENT);
if (mode === 'check') {
  console.log(engineToo ? 'engine and agent' : 'agent');
  process.exit(0);
}
process.chdir(new URL('../..', import.meta.url).pathname);

const triple = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;
const programs = join(process.cwd(), 'native/fuzz/target', triple, 'release');
const found = join(process.cwd(), 'cache/fuzz/found');
await mkdir(found, { recursive: true });

/** Runs a program; its output as text. */
function run(file, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        // The end tells what happened.
        output = (output + text).slice(-1_000_000);
      });
    }
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

/** Runs one of the engine's targets. */
async function fuzzEngine(target) {
  const { code, output } = await run(
    join(programs, 'fuzz'),
    [
      join(corpus, target),
      `-max_total_time=${wanted.seconds}`,
      // A second is a thousand times what any input should take, a GiB more than any may cost.
      ...['-timeout=10', '-rss_limit_mb=2048', '-max_len=65536', '-print_final_stats=1'],
      `-artifact_prefix=${found}/${target}-`,
    ],
    { KEMARI_FUZZ_TARGET: target, ASAN_OPTIONS: 'detect_leaks=0' },
  );
  return { code, output, ...readStatistics(output) };
}

/** Runs the tests of the agent's parsers for as long. */
async function fuzzAgent() {
  const seed = process.env['KEMARI_TEST_SEED'] ?? `${Date.now() % 1_000_000}`;
  console.error(`    seed ${seed} (KEMARI_TEST_SEED=${seed} gives it again)`);
  const { code, output } = await run(
    join('node_modules', '.bin', 'vitest'),
    ['run', '--project', 'unit', '--no-color', join('test', 'parsers', 'mutations.test.ts')],
    { KEMARI_TEST_SEED: seed, KEMARI_TEST_SECONDS: `${wanted.seconds}`, KEMARI_TEST_FOUND: found },
  );
  return { code, output, seed: Number(seed), ...readMutations(output) };
}

const corpus = await mkdtemp(join(tmpdir(), 'kemari-fuzz-'));
let failed = false;
try {
  const names = [AGENT];
  if (engineToo) {
    const seeds = await run(join(programs, 'seeds'), [corpus]);
    if (seeds.code !== 0) throw new Error(`the seeds could not be made:\n${seeds.output}`);
    names.unshift(...seeds.output.trim().split('\n'));
  }
  if (wanted.list) {
    console.log(names.join('\n'));
    process.exit(0);
  }
  const unknown = wanted.targets.filter((name) => !names.includes(name));
  if (unknown.length > 0) {
    console.error(`no target is called ${unknown.join(' nor ')}: there are ${names.join(', ')}`);
    process.exit(2);
  }
  const chosen = wanted.targets.length > 0 ? wanted.targets : names;
  const results = [];
  for (const [index, target] of chosen.entries()) {
    console.error(`[${index + 1}/${chosen.length}] ${target}: ${wanted.seconds} s`);
    const before = new Set(await readdir(found));
    const { code, output, ...counted } = await (target === AGENT ? fuzzAgent() : fuzzEngine(target));
    const reproducers = (await readdir(found)).filter((file) => !before.has(file));
    const result = {
      target,
      ok: code === 0,
      ...counted,
      reproducers: reproducers.map((file) => join(found, file)),
    };
    if (!result.ok) {
      failed = true;
      console.error(output.split('\n').slice(-40).join('\n'));
    }
    results.push(result);
  }
  if (wanted.json) {
    console.log(JSON.stringify({ seconds: wanted.seconds, targets: results }));
  } else {
    console.log(`${'target'.padEnd(12)}${'runs'.padStart(12)}${'coverage'.padStart(10)}  result`);
    for (const { target, runs, coverage, ok, reproducers } of results) {
      const verdict = ok ? 'ok' : `FAILED: ${reproducers.join(' ') || 'see above'}`;
      console.log(
        `${target.padEnd(12)}${`${runs}`.padStart(12)}${`${coverage ?? '-'}`.padStart(10)}  ${verdict}`,
      );
    }
    if (results.some(({ ok, target }) => !ok && target !== AGENT)) {
      console.log(`again: KEMARI_FUZZ_TARGET=TARGET ${join(programs, 'fuzz')} FILE`);
    }
  }
} finally {
  await rm(corpus, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
