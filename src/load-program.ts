import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';
import { Script } from 'node:vm';
import type { Program } from './program.js';

const FILE = 'kemari-program.cjs';

/** The other file of this program: a part of the executable, or, where plain node runs it, the one beside this one. */
export function loadProgram(): Program {
  if (isSea()) return fromExecutable();
  const main = process.argv[1] ?? '';
  return (createRequire(main)(join(dirname(main), FILE)) as { program: Program }).program;
}

/** As `require` would, but compiled ahead: the build has put the compiler's work beside the source. */
function fromExecutable(): Program {
  const script = new Script(asset('program').toString('latin1'), {
    filename: FILE,
    cachedData: asset('program-code'),
  });
  const module = { exports: {} as { program: Program } };
  const wrapped = script.runInThisContext() as (...given: unknown[]) => void;
  wrapped(
    module.exports,
    createRequire(process.execPath),
    module,
    process.execPath,
    dirname(process.execPath),
  );
  return module.exports.program;
}

/** Without a copy. */
function asset(name: string): Buffer {
  return Buffer.from(getRawAsset(name) as ArrayBuffer);
}
