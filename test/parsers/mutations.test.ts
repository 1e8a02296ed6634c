// Everything that the agent reads from outside, with samples that were tampered with: it is taken or refused in a sentence,
// never an error of the program's own. A failure prints the seed; KEMARI_TEST_SEED gives it again.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AgentError } from '../../src/common/error.js';
import { limits } from '../../src/common/limits.js';
import { lineSplitter, parseLine } from '../../src/common/line-channel.js';
import { pathsOf, type ResourcePaths } from '../../src/common/paths.js';
import { readVmConfig } from '../../src/config/read-config.js';
import { engineSpec } from '../../src/config/engine-spec.js';
import { engineEvent, engineRequest, replyEnvelope, statusReply } from '../../src/engine/messages.js';
import { parseDiskWord } from '../../src/supervise/disk-word.js';
import { DurableStore, initialState } from '../../src/supervise/durable-state.js';
import { readProcessRecord } from '../../src/supervise/process-record.js';
import { supervisorRequest } from '../../src/supervise/protocol.js';
import { mutate, random } from '../fixtures/mutate.js';

const seed = Number(process.env['KEMARI_TEST_SEED'] ?? Date.now() % 1_000_000);
const mutants = 400;

let folder: string;
let paths: ResourcePaths;
beforeAll(async () => {
  folder = await mkdtemp('/tmp/kemari-mutations-');
  paths = {
    ...pathsOf('vm1', {}),
    state: join(folder, 'state.json'),
    processes: join(folder, 'processes.json'),
  };
});
afterAll(() => rm(folder, { recursive: true }));

/** Calls `read` with mutants of the samples; what it throws must be an AgentError. */
async function tamper(samples: readonly string[], read: (mutant: string) => unknown): Promise<void> {
  const below = random(seed);
  for (let round = 0; round < mutants; round++) {
    const mutant = mutate(samples[below(samples.length)] ?? '', below);
    try {
      await read(mutant);
    } catch (error) {
      if (error instanceof AgentError && error.message.length < 4096) continue;
      throw new Error(`seed ${seed}, round ${round}: ${JSON.stringify(mutant.slice(0, 400))}`, {
        cause: error,
      });
    }
  }
}

/** The samples of both languages' contract, one line each. */
async function golden(name: string): Promise<string[]> {
  const text = await readFile(new URL(`../contract/${name}`, import.meta.url), 'utf8');
  const value = JSON.parse(text) as unknown;
  return (Array.isArray(value) ? value : [value]).map((sample) => JSON.stringify(sample));
}

test('control messages', async () => {
  const samples = [
    ...(await golden('control/requests.json')),
    ...(await golden('control/replies.json')),
    ...(await golden('control/events.json')),
    '{"v":1,"id":3,"command":"promote","timeout_ms":60000}',
  ];
  const schemas = [engineRequest, engineEvent, replyEnvelope, supervisorRequest];
  await tamper(samples, (mutant) => {
    const message = parseLine(mutant);
    if (message === undefined) return;
    for (const schema of schemas) v.safeParse(schema, message);
    v.safeParse(statusReply, message['ok']);
  });
});

test('the config of a VM', async () => {
  const file = join(folder, 'vm1.json');
  const sample = await readFile(new URL('../../ocf/examples/vm1.json', import.meta.url), 'utf8');
  await tamper([sample], async (mutant) => {
    await writeFile(file, mutant);
    await readVmConfig(file);
  });
});

test('a sentence repeats a part of what is wrong, however long that is, and still says what to do', async () => {
  const long = 'x'.repeat(50_000);
  const file = join(folder, 'long.json');
  const sample = JSON.parse(
    await readFile(new URL('../../ocf/examples/vm1.json', import.meta.url), 'utf8'),
  ) as object;
  for (const wrong of [{ [long]: 1 }, { machine: long }]) {
    await writeFile(file, JSON.stringify({ ...sample, ...wrong }));
    const refused = await readVmConfig(file).catch((error: unknown) => error as AgentError);
    expect(refused).toBeInstanceOf(AgentError);
    expect((refused as AgentError).message.length).toBeLessThan(1000);
  }
  await writeFile(paths.state, JSON.stringify({ ...initialState(long), [long]: 1 }));
  const refused = await new DurableStore(paths).load().catch((error: unknown) => error as AgentError);
  expect(refused).toBeInstanceOf(AgentError);
  expect((refused as AgentError).message.length).toBeLessThan(1000);
});

test('the specification of an engine', async () => {
  await tamper(await golden('spec/engine.json'), (mutant) => {
    const message = parseLine(mutant);
    if (message !== undefined) v.safeParse(engineSpec, message);
  });
});

test('state.json is loaded as what it says or not at all', async () => {
  const sample = JSON.stringify(initialState('6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f'));
  await tamper([sample], async (mutant) => {
    await writeFile(paths.state, mutant);
    const state = await new DurableStore(paths).load();
    // What the file says: no file holds half a surrogate pair.
    expect(state).toEqual(JSON.parse(await readFile(paths.state, 'utf8')));
  });
});

test('the record of processes never keeps stop from going on', async () => {
  const identity = { pid: 4242, start_time: 17 };
  const sample = JSON.stringify({ supervisor: identity, engine: identity, qemu: identity, promoted: true });
  await tamper([sample], async (mutant) => {
    await writeFile(paths.processes, mutant);
    const { qemu } = await readProcessRecord(paths);
    expect(qemu === undefined || qemu.pid >= 1).toBe(true);
  });
});

test('the word about the other disk', async () => {
  await tamper(['12:n1:protected:primary', '3:-:none:secondary'], (mutant) => {
    const word = parseDiskWord(mutant);
    expect(word === undefined || Number.isSafeInteger(word.generation)).toBe(true);
  });
});

test('lines are the same however they arrive, and a line without end is refused within the bound', () => {
  const below = random(seed);
  const lines = Array.from({ length: 60 }, (_, index) => 'x'.repeat(1 + below(300)) + String(index));
  const text = lines.map((line) => `${line}\n`).join('');
  for (let round = 0; round < 50; round++) {
    const found: string[] = [];
    const take = lineSplitter(
      (line) => found.push(line),
      () => expect.unreachable(),
    );
    for (let from = 0; from < text.length;) {
      const to = from + 1 + below(2000);
      take(text.slice(from, to));
      from = to;
    }
    expect(found, `seed ${seed}`).toEqual(lines);
  }
  let refused = 0;
  const take = lineSplitter(
    () => expect.unreachable(),
    () => (refused += 1),
  );
  for (let sent = 0; sent <= limits.line_bytes; sent += 4096) take('x'.repeat(4096));
  expect(refused).toBe(1);
});
