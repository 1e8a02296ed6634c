import { AgentError, toAgentError } from '../common/error.js';
import { writeAll } from '../common/write-all.js';
import { exitCodeOf } from '../pacemaker/exit-codes.js';
import { writeExitReason } from '../pacemaker/exit-reason.js';

/** @returns the exit code of a command, whatever becomes of it; what went wrong is written for Pacemaker and people. */
export async function answer(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    // A bug is shown whole; whatever else has a sentence for Pacemaker and one exit code.
    if (!(error instanceof AgentError) && error instanceof Error) writeAll(2, `${error.stack ?? ''}\n`);
    const failure = toAgentError(error, 'engine-failed');
    writeExitReason(failure.message);
    return exitCodeOf[failure.code];
  }
}
