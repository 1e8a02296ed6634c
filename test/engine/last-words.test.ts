import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { logSize, readLastWords } from '../../src/engine/last-words.js';

function line(message: string): string {
  return `${JSON.stringify({ level: 'ERROR', message, code: 'guest-lost' })}\n`;
}

async function emptyLog(): Promise<string> {
  const folder = await mkdtemp('/tmp/kemari-log-');
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'vm1.engine.log');
}

test('the last words of an earlier engine are not this one’s', async () => {
  const log = await emptyLog();
  await writeFile(log, line('an earlier end'));
  const offset = logSize(log);
  expect(readLastWords(log, offset)).toBeUndefined();
  await writeFile(log, line('this end'), { flag: 'a' });
  expect(readLastWords(log, offset)).toEqual({ message: 'this end', code: 'guest-lost' });
});

test('last words are found in a log that was rotated by copying and truncating', async () => {
  const log = await emptyLog();
  await writeFile(log, line('an earlier end').repeat(10));
  const offset = logSize(log);
  await writeFile(log, line('this end'));
  expect(readLastWords(log, offset)).toEqual({ message: 'this end', code: 'guest-lost' });
});
