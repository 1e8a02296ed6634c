import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import {
  configureReply,
  demoteReply,
  emptyReply,
  engineErrorCodes,
  engineEvent,
  engineRequest,
  promoteReply,
  replyEnvelope,
  statusReply,
} from '../../src/engine/messages.js';

/** Every answer to every command: the envelope, and in it what the command's own schema or the closed set of codes takes. */
const body = v.union([
  v.object({ ok: v.union([statusReply, promoteReply, demoteReply, configureReply, emptyReply]) }),
  v.object({ error: v.object({ code: v.picklist(engineErrorCodes), message: v.string() }) }),
]);
const engineReply = v.pipe(
  replyEnvelope,
  v.transform((reply) => ({ ...reply, ...v.parse(body, reply) })),
);

const files = [
  ['requests.json', engineRequest],
  ['replies.json', engineReply],
  ['events.json', engineEvent],
] as const;

describe.each(files)('golden samples of control/%s', async (name, schema) => {
  const samples = JSON.parse(await readFile(new URL(`control/${name}`, import.meta.url), 'utf8')) as Record<
    string,
    unknown
  >[];

  test.each(samples.map((sample) => [JSON.stringify(sample).slice(0, 60), sample]))(
    '%s is read, and written again as it was',
    (_, sample) => {
      expect(v.parse(schema, sample)).toEqual(sample);
    },
  );

  test.each(samples.map((sample) => [JSON.stringify(sample).slice(0, 60), sample]))(
    '%s of another version is refused',
    (_, sample) => {
      expect(v.safeParse(schema, { ...sample, v: 2 }).success).toBe(false);
      expect(v.safeParse(schema, { ...sample, v: undefined }).success).toBe(false);
    },
  );
});

test('a request with a field that the version does not know is refused', () => {
  expect(v.safeParse(engineRequest, { v: 1, id: 1, command: 'status', verbose: true }).success).toBe(false);
});

test('a generation below one is never ordered', () => {
  const order = { v: 1, id: 1, command: 'promote', mode: 'hot' };
  for (const generation of [0, -1, 1.5, '2', null]) {
    expect(v.safeParse(engineRequest, { ...order, generation }).success).toBe(false);
  }
});
