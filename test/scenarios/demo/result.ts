// What a run of the demo found: the JSON object, the promises and the numbers to reach.
import type { Narrator } from './narrator.js';

export interface DemoResult {
  connection_survived: boolean;
  answers: number;
  answers_lost: number;
  answers_repeated: number;
  fenced: boolean;
  promoted_node: string;
  crash_to_first_reply_ms: number;
  reprotected: boolean;
  /** From the dead host's power-on to a complete replica on it. */
  reprotect_ms: number;
  planned_move_gap_ms: number;
  checkpoints: number;
  pause_p50_ms: number;
  pause_p99_ms: number;
  echo_p50_ms: number;
  echo_p99_ms: number;
  echo_unprotected_p50_ms: number;
  engine_extra_memory_mib: number;
  monitor_p50_ms: number;
  accel: string;
}

/** Sentences that hold in every run, on every machine; a run that breaks one has failed. */
export function promises(result: DemoResult, survivor: string): [boolean, string][] {
  return [
    [result.connection_survived, 'one TCP connection lived through the power failure and the planned move'],
    [
      result.answers_lost === 0,
      `no answer was lost (${result.answers} answers, ${result.answers_lost} lost)`,
    ],
    [
      result.answers_repeated === 0,
      `the guest's memory never went back (${result.answers_repeated} repeated)`,
    ],
    [result.fenced, 'the dead host was fenced before the replica was promoted'],
    [result.promoted_node === survivor, `Pacemaker promoted the replica on ${result.promoted_node}`],
    [result.reprotected, 'the dead host came back and the guest was protected again'],
  ];
}

interface Goal {
  readonly text: string;
  readonly value: number;
  readonly most: number;
  readonly unit: string;
}

function goals(result: DemoResult): Goal[] {
  const echoRatio = result.echo_p50_ms / result.echo_unprotected_p50_ms;
  return [
    { text: 'power cut to first reply', value: result.crash_to_first_reply_ms, most: 2500, unit: 'ms' },
    { text: 'pause of the guest per checkpoint, median', value: result.pause_p50_ms, most: 1.2, unit: 'ms' },
    { text: 'echo, against the unprotected guest', value: echoRatio, most: 6, unit: 'times' },
    { text: 'engine memory beyond the guest', value: result.engine_extra_memory_mib, most: 64, unit: 'MiB' },
    { text: 'monitor action, the guest idle', value: result.monitor_p50_ms, most: 40, unit: 'ms' },
  ];
}

/** Tells a person; returns whether every promise held. Numbers depend on the machine and fail nothing. */
export function summarize(narrator: Narrator, result: DemoResult, survivor: string): boolean {
  narrator.title('What was promised');
  const kept = promises(result, survivor);
  for (const [good, text] of kept) narrator.verdict(good, text);
  narrator.title('What it cost');
  for (const { text, value, most, unit } of goals(result)) {
    const shown = Math.round(value * 100) / 100;
    narrator.verdict(value <= most, `${text}: ${shown} ${unit} (to reach: ${most})`);
  }
  narrator.output(
    [
      `checkpoints          ${result.checkpoints}`,
      `pause p50 / p99      ${result.pause_p50_ms} / ${result.pause_p99_ms} ms`,
      `echo protected p50   ${result.echo_p50_ms} ms (p99 ${result.echo_p99_ms} ms)`,
      `echo unprotected p50 ${result.echo_unprotected_p50_ms} ms`,
      `protected again      ${Math.round(result.reprotect_ms)} ms after the dead host's power was back`,
      `planned move         ${Math.round(result.planned_move_gap_ms)} ms without an answer`,
      `accelerator          ${result.accel}`,
    ].join('\n'),
  );
  return kept.every(([good]) => good);
}
