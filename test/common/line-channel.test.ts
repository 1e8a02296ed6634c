import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { limits } from '../../src/common/limits.js';
import { LineChannel, lineSplitter } from '../../src/common/line-channel.js';

async function peer(onData: (socket: Socket, text: string) => void): Promise<LineChannel> {
  const folder = await mkdtemp('/tmp/kemari-channel-');
  const path = join(folder, 'sock');
  const server = createServer((socket) => {
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('data', (text) => {
      onData(socket, text.toString());
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const channel = await LineChannel.open(path, 'the peer', 5_000);
  onTestFinished(async () => {
    channel.close();
    server.close();
    await rm(folder, { recursive: true });
  });
  return channel;
}

test('answers find their questions, in any order and in pieces', async () => {
  const ids: number[] = [];
  const channel = await peer((socket, text) => {
    for (const line of text.trim().split('\n')) ids.push((JSON.parse(line) as { id: number }).id);
    if (ids.length < 2) return;
    const answers = ids
      .reverse()
      .map((id) => `{"v":1,"id":${id},"ok":{"n":${id}}}\n`)
      .join('');
    socket.write(answers.slice(0, 10));
    setTimeout(() => socket.write(answers.slice(10)), 10);
  });
  const answers = await Promise.all([channel.request({}, 5_000), channel.request({}, 5_000)]);
  expect(answers.map((answer) => answer['ok'])).toEqual([{ n: 1 }, { n: 2 }]);
});

test('a peer that hangs up ends every question', async () => {
  const channel = await peer((socket) => {
    socket.destroy();
  });
  await expect(channel.request({}, 5_000)).rejects.toMatchObject({ code: 'not-running' });
  await expect(channel.request({}, 5_000)).rejects.toMatchObject({ code: 'not-running' });
});

test.each([
  ['no JSON', 'hello\n'],
  ['no object', '[1]\n'],
  ['another version', '{"v":2,"id":1,"ok":{}}\n'],
  ['no end of line', 'x'.repeat(limits.line_bytes + 1)],
])('a peer that says %s breaks the protocol', async (_, text) => {
  const channel = await peer((socket) => {
    socket.write(text);
  });
  await expect(channel.request({}, 5_000)).rejects.toMatchObject({ code: 'protocol' });
});

test('a peer that is silent is late, and the next question is answered', async () => {
  let asked = 0;
  const channel = await peer((socket, text) => {
    asked += 1;
    const { id } = JSON.parse(text) as { id: number };
    if (asked === 2) socket.write(`{"v":1,"id":${id},"ok":{}}\n`);
  });
  await expect(channel.request({}, 50)).rejects.toMatchObject({ code: 'timeout' });
  expect(await channel.request({}, 5_000)).toMatchObject({ ok: {} });
});

test('lines are the same however the stream is cut', () => {
  const stream = Buffer.from('one\nzwölf\n\nthree\n');
  for (let size = 1; size <= stream.length; size += 1) {
    const lines: string[] = [];
    const split = lineSplitter(
      (line) => lines.push(line),
      () => undefined,
    );
    for (let at = 0; at < stream.length; at += size) split(stream.subarray(at, at + size));
    expect(lines).toEqual(['one', 'zwölf', 'three']);
  }
});
