// Runs the small programs of which the lab is made and says, when one fails, which and why.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs `file` to its end. Throws with its standard error when it fails. */
export async function command(file: string, args: readonly string[], input?: string): Promise<string> {
  const child = run(file, [...args], { encoding: 'utf8' });
  child.child.stdin?.end(input);
  return (await child).stdout;
}

/** Several commands of ip(8) in one process. */
export async function ip(lines: readonly string[]): Promise<void> {
  await command('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
}
