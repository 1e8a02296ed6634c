// Finds processes by what /proc says about them: PID 1 of a node, and everything that runs in a node.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const FIND_ATTEMPTS_MAX = 400;
const FIND_PAUSE_MS = 5;

async function processIds(): Promise<number[]> {
  const names = await readdir('/proc');
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

async function parentOf(pid: number): Promise<number | undefined> {
  // The command's name, in parentheses, may hold anything; what follows the last one is fixed.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The child of `parent`: what `unshare --fork` started. Waits for it to appear. */
export async function childOf(parent: number): Promise<number> {
  for (let attempt = 0; attempt < FIND_ATTEMPTS_MAX; attempt += 1) {
    for (const pid of await processIds()) if ((await parentOf(pid)) === parent) return pid;
    await sleep(FIND_PAUSE_MS);
  }
  throw new Error(`process ${parent} has no child`);
}

/** Every process in the PID namespace of `init`. */
export async function inNamespaceOf(init: number): Promise<number[]> {
  const wanted = await readlink(`/proc/${init}/ns/pid`);
  const found: number[] = [];
  for (const pid of await processIds()) {
    if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => '')) === wanted) found.push(pid);
  }
  return found;
}
