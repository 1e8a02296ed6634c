// Builds dist/kemari: the bundle, compiled ahead (code cache), inside a stripped copy of the running node.
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Script } from 'node:vm';
import { inject } from 'postject';
import { bundle } from './bundle.mjs';

const run = promisify(execFile);
process.chdir(new URL('../..', import.meta.url).pathname);

if (!process.version.startsWith('v20.')) {
  console.error(`kemari is built on Node 20, this is ${process.version}: run npm with Node 20 and try again`);
  process.exit(1);
}
const { stdout: libraries } = await run('ldd', [process.execPath]);
if (libraries.includes('libnode.so')) {
  console.error(
    `${process.execPath} is a distribution build that needs libnode.so: use a statically linked Node 20 (nodejs.org or NodeSource)`,
  );
  process.exit(1);
}

await mkdir('dist/build', { recursive: true });
await bundle('dist/build/kemari.cjs');
// Compiled ahead, as the executable's own main file is by `useCodeCache`. Latin-1 is what V8 keeps in one byte a character.
const source = await readFile('dist/build/kemari-program.cjs', 'utf8');
if (!/^[\0-\x7f]*$/.test(source)) throw new Error('kemari-program.cjs has a character that is not ASCII');
const program = `(function (exports, require, module, __filename, __dirname) {${source}\n})`;
const filename = 'kemari-program.cjs';
const cachedData = new Script(program, { filename }).createCachedData();
if (new Script(program, { filename, cachedData }).cachedDataRejected !== false) {
  throw new Error(`V8 does not take its own code of ${filename} back`);
}
await writeFile('dist/build/program.js', program);
await writeFile('dist/build/program.code', cachedData);
await run(process.execPath, ['--experimental-sea-config', 'packaging/build/sea.json']);
const unfinished = 'dist/build/kemari';
await rm(unfinished, { force: true });
await copyFile(process.execPath, unfinished);
await chmod(unfinished, 0o755);
// Before injecting: stripped afterwards, the executable does not start.
await run('strip', [unfinished]);
// The ELF parser inside postject warns about section names that strip has dropped; they are not needed.
const { log, error } = console;
console.log = console.error = console.warn = () => undefined;
await inject(unfinished, 'NODE_SEA_BLOB', await readFile('dist/build/kemari.blob'), {
  sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
});
Object.assign(console, { log, error });
// Renamed into place, so that a kemari that is running keeps its file.
await rename(unfinished, 'dist/kemari');
for (const [page, file] of [
  ['agent', 'ocf_kemari_vm.7'],
  ['program', 'kemari.8'],
]) {
  const { stdout } = await run('dist/kemari', ['man', page]);
  await writeFile(join('dist', file), stdout);
}
console.log('built dist/kemari');
