import { basename, join } from 'node:path';
import { pino } from 'pino';
import {
  deleteAttribute,
  queryAttribute,
  setAttribute,
  setDampenedAttribute,
  setPrivateAttribute,
} from '../pacemaker/tools.js';
import { messageOf } from '../common/error.js';
import { limits } from '../common/limits.js';
import { openLog } from '../common/open-log.js';
import { libraryDir, pathsOf, type Environment } from '../common/paths.js';
import { AttributeKeeper } from './attribute-keeper.js';
import { shownAttribute } from './decide-shown.js';
import { diskAttribute, scoreAttribute } from './disk-word.js';
import { DurableStore } from './durable-state.js';
import { readLaunch } from './launch.js';
import { Ledger } from './ledger.js';
import { serve } from './server.js';
import { Supervisor } from './supervisor.js';

/** `kemari supervise RUN_DIR`: the process between the actions and the engine. Ends after a `stop`. */
export async function supervise(runDir: string, env: Environment): Promise<number> {
  // For this process only: see start-supervisor.ts.
  delete process.env['NODE_OPTIONS'];
  const paths = pathsOf(basename(runDir), env);
  const launch = await readLaunch(paths.launch);
  const lines = pino.destination({
    dest: openLog(paths.log),
    sync: true,
    maxLength: limits.log_backlog_bytes,
  });
  // A disk that is full takes no line. What cannot be told must not end who keeps the guest.
  lines.on('error', () => undefined);
  const log = pino({ level: launch.log_level, base: { resource: launch.resource, pid: process.pid } }, lines);
  const keeper = (name: string, set: typeof setAttribute) =>
    new AttributeKeeper(
      {
        read: () => queryAttribute(name, launch.node),
        set: (value) => set(name, launch.node, value),
        remove: () => deleteAttribute(name, launch.node),
      },
      (message) => {
        log.warn({ attribute: name }, message);
      },
    );
  const score = keeper(scoreAttribute(launch.resource), setAttribute);
  const disk = keeper(diskAttribute(launch.resource), setPrivateAttribute);
  const shown = keeper(shownAttribute(launch.resource), setDampenedAttribute);
  const supervisor = new Supervisor({
    launch,
    paths,
    engine_executable: join(libraryDir(env), 'kemari-engine'),
    ledger: new Ledger(paths, launch, new DurableStore(paths), log),
    score,
    disk,
    shown,
    log,
  });
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, messageOf(error));
    process.exit(70);
  });

  const stopped = new Promise<void>((resolve, reject) => {
    serve(paths.supervisor_socket, supervisor, log, resolve).then(() => {
      log.info({ node: launch.node }, 'supervisor started');
      void supervisor.boot();
    }, reject);
  });
  const ticker = setInterval(() => {
    supervisor.tick();
  }, limits.tick_ms);
  const verifier = setInterval(() => {
    void score.verify();
    void disk.verify();
    void shown.verify();
  }, limits.verify_ms);
  await stopped;
  clearInterval(ticker);
  clearInterval(verifier);
  // The answer to `stop` is on its way.
  await new Promise((resolve) => setTimeout(resolve, limits.poll_ms));
  return 0;
}
