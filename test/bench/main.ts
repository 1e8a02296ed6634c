// npm run bench [-- --quick] [--json] [--only NAME] [--sync-mode MODE]: what protection costs, on this machine, now.
// npm run bench -- --agent [--quick] [--json]: what the agent costs.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { Lab } from '../lab/lab.js';
import { PROJECT } from '../lab/project.js';
import { Narrator } from '../scenarios/demo/narrator.js';
import { AGENT } from './agent/measure.js';
import { measureAgent } from './agent/run.js';
import { UsageError, parseArguments, type Arguments } from './arguments.js';
import { NAMES } from './measures/all.js';
import { judge, type Field } from './report/fields.js';
import { plot } from './report/plot.js';
import { checkpointsTable, detailsTable, pausesTable, spreadsTable, targetsTable } from './report/table.js';
import { measureAll, messagesOf, type Run } from './run.js';
import { Yard } from './yard/yard.js';

const OUTPUT = join(PROJECT, 'cache/bench');

function argumentsOrEnd(): Arguments {
  try {
    return parseArguments(process.argv.slice(2), NAMES);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

const wanted = argumentsOrEnd();
const narrator = new Narrator();
const started_ms = Date.now();
let place: Lab | Yard | undefined;
const state = { interrupted: false };

async function interrupt(signal: NodeJS.Signals): Promise<void> {
  if (state.interrupted) return;
  state.interrupted = true;
  narrator.say(`${signal}: cleaning up`);
  await place?.down();
  process.exit(130);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => void interrupt(signal));

/** Other programs that want the processors make every figure worse than it is. */
async function warnWhenBusy(): Promise<void> {
  const [minute = '0'] = (await readFile('/proc/loadavg', 'utf8')).split(' ');
  if (Number(minute) <= cpus().length / 2) return;
  narrator.say(
    `this machine is busy (load ${minute} on ${cpus().length} processors): figures will be worse than they are`,
  );
}

async function report({ findings, failures, accel }: Run): Promise<void> {
  const { rows, pauses, checkpoints, figures, reasons } = findings;
  // Of the figures that this run was not about, the reasons say so.
  const isOfAgent = ({ measure }: Field): boolean => AGENT.some(({ name }) => name === measure);
  const verdicts = judge(figures).filter(({ field }) => isOfAgent(field) === wanted.agent);
  const section = (title: string, some: readonly unknown[], table: () => string): void => {
    if (some.length === 0) return;
    narrator.title(title);
    console.log(table());
  };
  section('Pause of the guest by part, ms: p50 / p99', pauses, () => pausesTable(pauses));
  section('Checkpoints, and what both engines use', checkpoints, () => checkpointsTable(checkpoints));
  section('Loads: median (least - most of the rounds)', rows, () =>
    wanted.agent ? spreadsTable(rows) : detailsTable(rows),
  );
  narrator.title('Figures and what they have to reach');
  console.log(targetsTable(verdicts));
  const run = {
    seconds: Math.round((Date.now() - started_ms) / 1000),
    quick: wanted.quick,
    rounds: wanted.settings.rounds,
    sync_mode: wanted.sync_mode ?? 'default',
    accel: accel ?? null,
    processors: cpus().length,
    processor: cpus()[0]?.model ?? 'unknown',
  };
  await mkdir(OUTPUT, { recursive: true });
  const picture = join(OUTPUT, 'bench.svg');
  await writeFile(
    picture,
    plot(verdicts, `Kemari, ${run.rounds} rounds, ${run.processors} × ${run.processor}`),
  );
  const result = { ...figures, reasons, failures, run, loads: rows, pauses, checkpoints };
  await writeFile(join(OUTPUT, 'bench.json'), `${JSON.stringify(result, undefined, 2)}\n`);
  narrator.say(`the picture is ${picture}; ${run.seconds} s in all`);
  for (const failure of failures) narrator.verdict(false, failure);
  process.exitCode = failures.length === 0 ? 0 : 1;
  if (wanted.json) console.log(JSON.stringify(result));
}

/** Brings up the place where it is measured. */
async function measure(): Promise<Run> {
  if (wanted.agent) {
    const lab = await narrator.wait('two hosts with a cluster', Lab.up());
    place = lab;
    return await measureAgent(lab, wanted, narrator);
  }
  const yard = await narrator.wait('two hosts and a client', Yard.up());
  place = yard;
  return await measureAll(yard, wanted, narrator);
}

try {
  await warnWhenBusy();
  const run = await measure();
  await place?.down({ keepLogs: run.failures.length > 0 });
  if (run.failures.length > 0 && place) narrator.say(`the logs are in ${place.run}`);
  await report(run);
} catch (error) {
  // Ctrl-C breaks whatever was under way; that is not news.
  if (!state.interrupted) {
    narrator.say(messagesOf(error));
    await place?.down({ keepLogs: true });
    if (wanted.json) console.log(JSON.stringify({ failed: messagesOf(error) }));
    process.exitCode = 1;
  }
}
