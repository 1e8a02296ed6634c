// npm run demo [-- --json]: a guest survives the death of its host, before your eyes.
import { Lab } from '../../lab/lab.js';
import { Narrator } from './narrator.js';
import { summarize } from './result.js';
import { DemoStory } from './story.js';

const json = process.argv.includes('--json');
const unknown = process.argv.slice(2).find((argument) => argument !== '--json');
if (unknown !== undefined) {
  console.error(`demo does not know ${unknown}; usage: npm run demo [-- --json]`);
  process.exit(2);
}

const narrator = new Narrator();
let lab: Lab | undefined;
const run = { interrupted: false };

// A lab that is still coming up is not ours to take down yet: it ends with this process, see hub.sh.
async function interrupt(signal: NodeJS.Signals): Promise<void> {
  if (run.interrupted) return;
  run.interrupted = true;
  narrator.say(`${signal}: cleaning up`);
  await lab?.down();
  process.exit(130);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => void interrupt(signal));

try {
  lab = await narrator.wait('bring up two hosts', Lab.up());
  const { result, survivor } = await new DemoStory(lab, narrator).tell();
  await narrator.wait('clean up', lab.down());
  const kept = summarize(narrator, result, survivor);
  process.exitCode = kept ? 0 : 1;
  if (json) console.log(JSON.stringify(result));
} catch (error) {
  // Ctrl-C breaks whatever was under way; that is not news.
  if (!run.interrupted) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) narrator.say(cause.message);
    if (lab) {
      await lab.down({ keepLogs: true });
      narrator.say(`the demo failed; the hosts' logs are in ${lab.run}`);
    }
    if (json) console.log(JSON.stringify({ failed: error instanceof Error ? error.message : String(error) }));
    process.exitCode = 1;
  }
}
