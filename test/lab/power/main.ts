// The power controller's process: builds the lab's network, serves the fence agents over the management network and
// the owner over a unix socket. The end of standard input is the end of the lab.
import { once } from 'node:events';
import { appendFileSync, existsSync } from 'node:fs';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { POWER_ADDRESS, POWER_PORT } from '../networks.js';
import { nodeNames, type LabSettings } from '../settings.js';
import { PowerController } from './controller.js';
import { buildSwitch } from './network.js';
import { LabNode } from './node.js';

const run = process.argv[2];
if (run === undefined) throw new Error('usage: power RUN-FOLDER');
const { settings, boot, files } = JSON.parse(await readFile(join(run, 'lab.json'), 'utf8')) as {
  settings: LabSettings;
  boot: string;
  files: readonly string[];
};

const watchers = new Set<Socket>();
function record(event: string, node: string): void {
  const line = `${JSON.stringify({ time_ms: Date.now(), event, node })}\n`;
  appendFileSync(join(String(run), 'events.jsonl'), line);
  for (const watcher of watchers) watcher.write(line);
}

const names = nodeNames(settings);
for (const file of files) await cp(join(run, file), join(run, 'disks', file));
await buildSwitch();
const nodes = names.map((name) => new LabNode(name, { run, boot }));
const controller = new PowerController(nodes, settings.boot_delay_ms, record);

function serve(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.on('close', () => watchers.delete(socket));
  createInterface({ input: socket }).on('line', (line) => {
    if (line === 'watch') watchers.add(socket);
    else void controller.answer(line).then((answer) => socket.writable && socket.write(`${answer}\n`));
  });
}

async function listening(
  server: Server,
  where: { path: string } | { host: string; port: number },
): Promise<void> {
  server.listen(where);
  await once(server, 'listening');
}

await listening(createServer(serve), { host: POWER_ADDRESS, port: POWER_PORT });
await Promise.all(nodes.map((node) => node.on()));
await listening(createServer(serve), { path: join(run, 'power.sock') });

/** What a failed story leaves to read: the nodes' logs, out of the memory file system that ends with the lab. */
async function keepLogs(folder: string): Promise<void> {
  for (const node of nodes) {
    const to = join(folder, 'logs', node.name);
    await mkdir(to, { recursive: true });
    for (const from of ['upper/var/log', 'upper/var/lib/pacemaker/cib', 'upper/etc/kemari']) {
      await cp(join(folder, 'disks', node.name, from), join(to, from.replace('upper/', '')), {
        recursive: true,
      }).catch(() => undefined);
    }
  }
}

createInterface({ input: process.stdin })
  .on('line', () => undefined)
  .on('close', () => {
    void (async () => {
      await Promise.all(nodes.map((node) => node.off().catch(() => undefined)));
      if (existsSync(join(run, 'keep'))) await keepLogs(run);
      process.exit(0);
    })();
  });
