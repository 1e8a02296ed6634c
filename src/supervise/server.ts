import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import * as v from 'valibot';
import { AgentError, messageOf, quote, toAgentError } from '../common/error.js';
import { lineSplitter, parseLine } from '../common/line-channel.js';
import { supervisorRequest, type SupervisorRequest } from './protocol.js';
import type { Supervisor } from './supervisor.js';

/** supervisor.sock. The lock is held by now, so a socket file that is there already belongs to nobody. */
export async function serve(
  path: string,
  supervisor: Supervisor,
  log: Logger,
  onStopped: () => void,
): Promise<Server> {
  await rm(path, { force: true });
  const server = createServer((socket) => {
    converse(socket, supervisor, log, onStopped);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return server;
}

function converse(socket: Socket, supervisor: Supervisor, log: Logger, onStopped: () => void): void {
  // Whoever asked has gone; what was asked is done all the same.
  socket.on('error', () => undefined);
  const answer = (body: Record<string, unknown>, after?: () => void) => {
    socket.write(`${JSON.stringify({ v: 1, ...body })}\n`, after);
  };
  const refuse = (message: string) => {
    answer({ id: 0, error: { code: 'protocol', message } }, () => socket.destroy());
  };
  socket.on(
    'data',
    lineSplitter(
      (line) => {
        const request = v.safeParse(supervisorRequest, parseLine(line));
        if (!request.success) {
          refuse(`the request is not of version 1: ${quote(request.issues[0].message)}`);
          return;
        }
        const { id, command } = request.output;
        void perform(supervisor, request.output).then(
          (ok) => {
            // Told even if the asker has hung up: the supervisor's life ends with its last answer.
            if (command === 'stop') onStopped();
            answer({ id, ok });
          },
          (error: unknown) => {
            const failure = toAgentError(error, 'engine-failed');
            if (!(error instanceof AgentError)) log.error({ err: error }, 'internal error');
            else log.warn({ command, code: failure.code }, messageOf(failure));
            answer({ id, error: { code: failure.code, message: failure.message } });
          },
        );
      },
      () => {
        refuse('the request is too long');
      },
    ),
  );
}

async function perform(supervisor: Supervisor, request: SupervisorRequest): Promise<Record<string, unknown>> {
  switch (request.command) {
    case 'ping':
      return {};
    case 'status':
      return await supervisor.status();
    case 'promote':
      return { promoted: await supervisor.promote(request.timeout_ms) };
    case 'demote':
      await supervisor.demote(request.timeout_ms, request.shutdown_ms);
      return {};
    case 'check':
      await supervisor.check(request.timeout_ms);
      return {};
    case 'health':
      supervisor.noteHealth(request.sick);
      return {};
    case 'reload':
      await supervisor.reload(request);
      return {};
    case 'stop':
      await supervisor.stop(request.shutdown_ms);
      return {};
  }
}
