// Everything that the agent reads from outside, with samples that were tampered with: it is taken or refused in a sentence,
// never an error of the program's own. A failure prints the seed; KEMARI_TEST_SEED gives it again. `npm run fuzz` gives it more
// time (KEMARI_TEST_SECONDS, for all of it) and a folder for what breaks something (KEMARI_TEST_FOUND).
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AgentError } from '../../src/common/error.js';
import { limits } from '../../src/common/limits.js';
import { lineSplitter, parseLine } from '../../src/common/line-channel.js';
import { pathsOf, type ResourcePaths } from '../../src/common/paths.js';
import { engineSpec } from '../../src/config/engine-spec.js';
import { engineEndError, readLastWords } from '../../src/engine/last-words.js';
import { engineEvent, engineRequest, replyEnvelope, statusReply } from '../../src/engine/messages.js';
import { readDomain } from '../../src/domain/read-domain.js';
import { attributesOfNodes, parseCib } from '../../src/pacemaker/cib.js';
import { parameterList, readParameters } from '../../src/pacemaker/parameters.js';
import { readAttributes, readNodeName } from '../../src/pacemaker/tools.js';
import { parseDiskWord } from '../../src/supervise/disk-word.js';
import { DurableStore, initialState } from '../../src/supervise/durable-state.js';
import { readLaunch, type Launch } from '../../src/supervise/launch.js';
import { readProcessRecord } from '../../src/supervise/process-record.js';
import { supervisorRequest } from '../../src/supervise/protocol.js';
import { mutate, random } from '../fixtures/mutate.js';

const seed = Number(process.env['KEMARI_TEST_SEED'] ?? Date.now() % 1_000_000);
const mutants = 400;
const seconds = Number(process.env['KEMARI_TEST_SECONDS'] ?? 0);
const found = process.env['KEMARI_TEST_FOUND'];
let parsers = 0;
let rounds = 0;

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
afterAll(async () => {
  await rm(folder, { recursive: true });
  // Read by `npm run fuzz`.
  if (seconds > 0) console.log(`seed ${seed}: ${rounds} mutants`);
});

/** A parser's test: the time there is, is shared by all of them. */
function parser(name: string, body: () => Promise<void>): void {
  parsers += 1;
  test(name, { timeout: 60_000 + seconds * 1000 }, body);
}

/** Calls `read` with mutants of the samples; what it throws must be an AgentError. */
async function tamper(samples: readonly string[], read: (mutant: string) => unknown): Promise<void> {
  const below = random(seed);
  const until = performance.now() + (seconds * 1000) / parsers;
  for (let round = 0; seconds > 0 ? performance.now() < until : round < mutants; round++) {
    const mutant = mutate(samples[below(samples.length)] ?? '', below);
    rounds += 1;
    try {
      await read(mutant);
    } catch (error) {
      if (error instanceof AgentError && error.message.length < 4096) continue;
      if (found !== undefined) await writeFile(join(found, `agent-${seed}-${round}`), mutant);
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

parser('control messages', async () => {
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

parser('the description of a VM', async () => {
  const sample = await readFile(new URL('../../ocf/examples/vm1.xml', import.meta.url), 'utf8');
  const words = ['-device', 'usb-tablet,bus=usb.0', '-fw_cfg', 'name=opt/a,string=b,,c', '-rtc', 'base=utc'];
  const further = `<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
${words.map((word) => `<q:arg value='${word}'/>`).join('\n')}\n</q:commandline></domain>`;
  const samples = [sample, sample.replace('</domain>', further)];
  await tamper(samples, (mutant) => readDomain(mutant, 'vm1.xml', { qemu_commandline: true }));
});

parser('the parameters of the agent', async () => {
  const names = parameterList.map(([name]) => name);
  const samples = parameterList.map(([, { fallback = '/etc/kemari/vm1.xml' }]) => fallback);
  const below = random(seed);
  await tamper([...samples, 'n1:10.0.0.1:7901;n2:[fd00::1]:7900'], (mutant) =>
    readParameters({
      OCF_RESKEY_config: '/etc/kemari/vm1.xml',
      [`OCF_RESKEY_${names[below(names.length)] ?? ''}`]: mutant,
    }),
  );
});

parser("the nodes' attributes in the CIB", async () => {
  const sample = `<nodes><node id="1" uname="n1"><instance_attributes id="nodes-1">
    <nvpair id="nodes-1-a" name="kemari-sync-address" value="10.0.0.1"/></instance_attributes></node></nodes>`;
  await tamper([sample], (mutant) => attributesOfNodes(parseCib(mutant), 'kemari-sync-address'));
});

test('a sentence repeats a part of what is wrong, however long that is, and still says what to do', async () => {
  const long = 'x'.repeat(50_000);
  const file = join(folder, 'long.json');
  const sample = await readFile(new URL('../../ocf/examples/vm1.xml', import.meta.url), 'utf8');
  for (const wrong of [
    sample.replaceAll('vcpu', long),
    sample.replace('pc-i440fx-7.2', long),
    sample.replace("type='kvm'", `type='${long}'`),
    sample.replace("type='kvm'", `type='kvm' ${long}='1'`),
    sample.replace('<acpi/>', long),
  ]) {
    expect(() => readDomain(wrong, 'vm1.xml')).toThrow(AgentError);
    expect(() => readDomain(wrong, 'vm1.xml')).toThrow(/^.{1,1000}$/s);
  }
  await writeFile(paths.state, JSON.stringify({ ...initialState(long), [long]: 1 }));
  await writeFile(file, JSON.stringify({ [long]: 1 }));
  for (const load of [() => new DurableStore(paths).load(), () => readLaunch(file)]) {
    const refused = await load().catch((error: unknown) => error as AgentError);
    expect(refused).toBeInstanceOf(AgentError);
    expect((refused as AgentError).message.length).toBeLessThan(1000);
  }
});

parser('the specification of an engine', async () => {
  await tamper(await golden('spec/engine.json'), (mutant) => {
    const message = parseLine(mutant);
    if (message !== undefined) v.safeParse(engineSpec, message);
  });
});

parser('state.json is loaded as what it says or not at all', async () => {
  const sample = JSON.stringify(initialState('6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f'));
  await tamper([sample], async (mutant) => {
    await writeFile(paths.state, mutant);
    const state = await new DurableStore(paths).load();
    // What the file says: no file holds half a surrogate pair.
    expect(state).toEqual(JSON.parse(await readFile(paths.state, 'utf8')));
  });
});

parser('the record of processes never keeps stop from going on', async () => {
  const identity = { pid: 4242, start_time: 17 };
  const sample = JSON.stringify({ supervisor: identity, engine: identity, qemu: identity, promoted: true });
  await tamper([sample], async (mutant) => {
    await writeFile(paths.processes, mutant);
    const { qemu } = await readProcessRecord(paths);
    expect(qemu === undefined || qemu.pid >= 1).toBe(true);
  });
});

parser('the word about the other disk', async () => {
  await tamper(['12:n1:protected:primary', '3:-:none:secondary'], (mutant) => {
    const word = parseDiskWord(mutant);
    expect(word === undefined || Number.isSafeInteger(word.generation)).toBe(true);
  });
});

parser('the record of a start is read as what it says, or there was none', async () => {
  const file = join(folder, 'launch.json');
  const launch: Launch = {
    version: 1,
    resource: 'vm1',
    node: 'n1',
    peers: ['n2', 'n3'],
    vm_uuid: '6f1c1d2e-3a4b-4c5d-8e6f-7a8b9c0d1e2f',
    log_level: 'info',
  };
  await tamper([JSON.stringify(launch)], async (mutant) => {
    await writeFile(file, mutant);
    expect(await readLaunch(file)).toEqual(JSON.parse(await readFile(file, 'utf8')));
  });
});

parser('the last words of an engine, whatever else its log holds', async () => {
  const log = join(folder, 'vm1.engine.log');
  const words = { level: 'ERROR', message: 'the guest is lost', code: 'guest-lost' };
  const lines = [{ ...words, level: 'INFO' }, words, { level: 'ERROR', message: 'é', code: 'port-taken' }];
  const sample = lines.map((line) => `${JSON.stringify(line)}\nqemu: a line of its own\n`).join('');
  const below = random(seed);
  await tamper([sample], async (mutant) => {
    await writeFile(log, mutant);
    const said = readLastWords(log, below(sample.length * 2));
    if (said !== undefined) {
      expect(typeof said.message).toBe('string');
      expect(['string', 'undefined']).toContain(typeof said.code);
    }
    const end = engineEndError({ exitCode: 3 }, said);
    expect(end.code).toBe(said?.code === 'port-taken' ? 'engine-failed' : 'missing-requirement');
  });
});

parser('the name of this node is one that a program takes', async () => {
  await tamper(['n1\n', 'host-1.example.net\n'], (mutant) => {
    expect(readNodeName(mutant)).toMatch(/^[^\p{Cc}]+$/u);
  });
});

parser('an attribute of a node is in one line of what attrd says', async () => {
  const samples = [
    'name="master-vm1" host="n1" value="100"\nname="master-vm1" host="n2" value="12:n1:protected:primary"\n',
    'name="master-vm1" host="n2" value=""\n',
  ];
  await tamper(samples, (mutant) => {
    for (const [node, value] of readAttributes(mutant)) {
      expect(node).toMatch(/^[^"\n]*$/);
      expect(value).toMatch(/^[^"\n]+$/);
      expect(mutant).toContain(`host="${node}" value="${value}"`);
    }
  });
});

test('lines are the same however they arrive, and a line without end is refused within the bound', () => {
  const below = random(seed);
  const lines = Array.from({ length: 60 }, (_, index) => 'x'.repeat(1 + below(300)) + String(index));
  const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  for (let round = 0; round < 50; round++) {
    const found: string[] = [];
    const take = lineSplitter(
      (line) => found.push(line),
      () => expect.unreachable(),
    );
    for (let from = 0; from < text.length;) {
      const to = from + 1 + below(2000);
      take(text.subarray(from, to));
      from = to;
    }
    expect(found, `seed ${seed}`).toEqual(lines);
  }
  let refused = 0;
  const take = lineSplitter(
    () => expect.unreachable(),
    () => (refused += 1),
  );
  for (let sent = 0; sent <= limits.line_bytes; sent += 4096) take(Buffer.alloc(4096, 'x'));
  expect(refused).toBe(1);
});
