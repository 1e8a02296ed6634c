// The load generators are small C programs: what they measure with costs next to nothing.
import { join } from 'node:path';
import { execa } from 'execa';
import { PROJECT } from '../../lab/project.js';

/** Compiles a program of this folder into another one, and returns its path. */
export async function compile(program: string, folder: string): Promise<string> {
  const source = join(PROJECT, `test/bench/load/${program}.c`);
  const outfile = join(folder, program);
  await execa('gcc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-o', outfile, source]);
  return outfile;
}
