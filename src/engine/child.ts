import { closeSync, fstatSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { AgentError } from '../common/error.js';
import { limits } from '../common/limits.js';
import { openLog } from '../common/open-log.js';
import type { ResourcePaths } from '../common/paths.js';
import { identify, type ProcessIdentity } from '../common/process-identity.js';
import { EngineClient } from './client.js';
import { engineEndError, readLastWords } from './last-words.js';

export interface EngineChild {
  readonly identity: ProcessIdentity;
  /** Bytes that were in the log before it. */
  readonly log_offset: number;
  /** Resolves when the engine is gone, with the reason. */
  readonly ended: Promise<AgentError>;
}

/**
 * Starts the engine so that it outlives this process: a supervisor that crashes must not take the guest along, and a
 * pipe to it would kill the engine at its next log line. Hence its own session, and a file for its output.
 * @throws AgentError missing-requirement
 */
export async function startEngine(
  executable: string,
  paths: ResourcePaths,
  logLevel: string,
): Promise<EngineChild> {
  await rm(paths.engine_socket, { force: true });
  const log = openLog(paths.engine_log);
  try {
    const offset = fstatSync(log).size;
    const child = execa(executable, ['--spec', paths.spec, '--log-level', logLevel], {
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      stdin: 'ignore',
      // execa's types list the descriptors 3 to 9; any number is handed to spawn as it is.
      stdout: log as 3,
      stderr: log as 3,
    });
    const ended = child.then((result) => engineEndError(result, readLastWords(paths.engine_log, offset)));
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (!identity) {
      const { code } = await child;
      if (code === undefined) throw await ended;
      throw new AgentError(
        'missing-requirement',
        `${executable} cannot be run (${code}): install kemari again`,
      );
    }
    child.unref();
    return { identity, log_offset: offset, ended };
  } finally {
    closeSync(log);
  }
}

/**
 * The engine binds its control socket when it is ready: readiness raced against its end and the clock.
 * @throws AgentError the engine's own reason, or timeout
 */
export async function awaitReady(
  child: EngineChild,
  socket: string,
  timeoutMs: number,
): Promise<EngineClient> {
  let end: AgentError | undefined;
  void child.ended.then((reason) => {
    end = reason;
  });
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await EngineClient.open(socket);
    } catch {
      // Not bound yet, or not accepting yet.
    }
    if (end) throw end;
    if (Date.now() >= deadline) {
      throw new AgentError(
        'engine-failed',
        `the engine was not ready within ${timeoutMs} ms: see ${socket.replace(/[^/]*$/, '')} and its log`,
      );
    }
    await sleep(limits.poll_ms);
  }
}
