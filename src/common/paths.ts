import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AgentError } from './error.js';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ResourcePaths {
  readonly resource: string;
  /** 0700; on a tmpfs, so it is empty after a boot. */
  readonly run_dir: string;
  readonly supervisor_socket: string;
  readonly engine_socket: string;
  /** Held by the one supervisor of the resource on this node, by flock(2): the kernel drops it with the process. */
  readonly lock: string;
  /** What a supervisor needs to know; written by `start`, so a second supervisor needs no OCF environment. */
  readonly launch: string;
  /** Who runs: pid and start time of supervisor, engine and QEMU. */
  readonly processes: string;
  readonly spec: string;
  readonly state_dir: string;
  readonly state: string;
  readonly log_dir: string;
  readonly log: string;
  readonly engine_log: string;
  readonly console_log: string;
}

export function runRoot(env: Environment): string {
  return env['KEMARI_RUN_DIR'] ?? '/run/kemari';
}

/** Whether it can name a folder, and the sockets in it fit into a sun_path (unix(7): 108 bytes). */
export function isFolderName(resource: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(resource);
}

/** @throws AgentError bad-parameter when the name could leave its folder. */
export function pathsOf(resource: string, env: Environment): ResourcePaths {
  if (!isFolderName(resource)) {
    throw new AgentError(
      'bad-parameter',
      `the resource name "${resource.slice(0, 80)}" cannot name a folder: use up to 64 letters, digits, "_", "." and "-"`,
    );
  }
  const runDir = join(runRoot(env), resource);
  const stateDir = join(env['KEMARI_STATE_DIR'] ?? '/var/lib/kemari', resource);
  const logDir = env['KEMARI_LOG_DIR'] ?? '/var/log/kemari';
  return {
    resource,
    run_dir: runDir,
    supervisor_socket: join(runDir, 'supervisor.sock'),
    engine_socket: join(runDir, 'engine.sock'),
    lock: join(runDir, 'supervisor.lock'),
    launch: join(runDir, 'launch.json'),
    processes: join(runDir, 'processes.json'),
    spec: join(runDir, 'engine.json'),
    state_dir: stateDir,
    state: join(stateDir, 'state.json'),
    log_dir: logDir,
    log: join(logDir, `${resource}.log`),
    engine_log: join(logDir, `${resource}.engine.log`),
    console_log: join(logDir, `${resource}.console`),
  };
}

/** The folder of the engine and the preload library: beside the executable itself, wherever links to it lie. */
export function libraryDir(env: Environment): string {
  return env['KEMARI_LIB_DIR'] ?? dirname(realpathSync(process.execPath));
}
