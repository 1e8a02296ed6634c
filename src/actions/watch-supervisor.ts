import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '../common/limits.js';
import type { ResourcePaths } from '../common/paths.js';
import { askSupervisor } from '../supervise/client.js';

export interface Watch {
  /** Ends it. @returns when nobody is being killed any more */
  end(): Promise<void>;
}

/**
 * Beside a question that may take long: a supervisor that does not even answer a ping hangs, and is ended, so that the question
 * fails at once and can be put to a new one. Nothing is done while the answer is not late.
 */
export function watchSupervisor(paths: ResourcePaths): Watch {
  let over = false as boolean;
  let killing = Promise.resolve();
  const look = async (): Promise<void> => {
    try {
      await askSupervisor(paths.supervisor_socket, { command: 'ping' }, limits.ping_ms);
    } catch (error) {
      if (over) return;
      const { endHungSupervisor } = await import('./await-supervisor.js');
      killing = endHungSupervisor(paths, error);
      await killing;
    }
  };
  void (async () => {
    for (;;) {
      await sleep(limits.patience_ms, undefined, { ref: false });
      if (over) return;
      await look();
    }
  })();
  return {
    async end() {
      over = true;
      await killing;
    },
  };
}
