// One run of the benchmark of the agent.
import { Lab } from '../../lab/lab.js';
import type { Narrator } from '../../scenarios/demo/narrator.js';
import type { Arguments } from '../arguments.js';
import { Findings } from '../report/findings.js';
import { messagesOf, type Run } from '../run.js';
import { AGENT } from './measure.js';
import { setStage } from './stage.js';

/** Measures on a lab that is up. */
export async function measureAgent(lab: Lab, wanted: Arguments, narrator: Narrator): Promise<Run> {
  const findings = new Findings();
  const failures: string[] = [];
  const stage = await narrator.wait('a protected guest, and one of libvirt on the same host', setStage(lab));
  for (const { name, title, run } of AGENT) {
    try {
      await narrator.wait(title, run(stage, wanted.settings, findings));
    } catch (error) {
      const reason = messagesOf(error);
      narrator.say(reason);
      failures.push(`${name}: ${reason}`);
      findings.missing(name, reason);
    }
  }
  return { findings, failures, accel: stage.accel };
}
