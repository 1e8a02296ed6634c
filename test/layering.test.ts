import { readFile, readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** What each folder of src may import from, beside itself: one way, as ARCHITECTURE.md draws it. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  common: [],
  pacemaker: ['common'],
  domain: ['common'],
  config: ['domain', 'pacemaker', 'common'],
  engine: ['common'],
  fencing: ['engine', 'pacemaker', 'common'],
  supervise: ['engine', 'pacemaker', 'config', 'common'],
  actions: ['supervise', 'engine', 'config', 'domain', 'pacemaker', 'common'],
  cli: ['actions', 'supervise', 'pacemaker', 'common'],
  '.': ['cli', 'actions', 'common'],
};
const source = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');

async function importsOf(file: string): Promise<{ readonly target: string; readonly lazy: boolean }[]> {
  const text = await readFile(join(source, file), 'utf8');
  return [...text.matchAll(/^import (type )?[^;]*?from '([^']+)'|import\('([^']+)'\)/gm)]
    .filter((match) => match[1] === undefined)
    .map((match) => ({ target: match[2] ?? match[3] ?? '', lazy: match[3] !== undefined }));
}

async function files(): Promise<string[]> {
  return (await readdir(source, { recursive: true })).filter((file) => file.endsWith('.ts'));
}

test('imports go one way', async () => {
  for (const file of await files()) {
    const folder = dirname(file);
    for (const { target } of (await importsOf(file)).filter((one) => one.target.startsWith('.'))) {
      const to = dirname(relative(source, join(source, folder, target)));
      expect([file, [folder, ...(allowed[folder] ?? [])]]).toEqual([file, expect.arrayContaining([to])]);
    }
  }
});

/** What is imported by these files, and by what they import, from outside src; not what they load when they need it. */
async function outsideModules(...entries: readonly string[]): Promise<string[]> {
  const seen = new Set<string>();
  const modules = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const { target, lazy } of await importsOf(file)) {
      if (lazy) continue;
      if (target.startsWith('.')) await visit(join(dirname(file), target).replace(/\.js$/, '.ts'));
      else modules.add(target);
    }
  };
  for (const entry of entries) await visit(entry);
  return [...modules].sort();
}

test('monitor loads nothing from node_modules, and of node only net and fs; meta-data not even net', async () => {
  expect(await outsideModules('main.ts', 'actions/monitor.ts')).toEqual(['node:fs', 'node:net', 'node:path']);
  expect(await outsideModules('main.ts', 'actions/meta-data.ts')).toEqual(['node:fs']);
});

test('only one place starts programs, per kind of program', async () => {
  const starters: string[] = [];
  for (const file of await files()) {
    const targets = (await importsOf(file)).map(({ target }) => target);
    expect([file, targets.includes('node:child_process')]).toEqual([file, false]);
    if (targets.includes('execa')) starters.push(file);
  }
  expect(starters.sort()).toEqual([
    'actions/monitor-scripts.ts',
    'actions/state-process.ts',
    'engine/child.ts',
    'pacemaker/tools.ts',
    'supervise/start-supervisor.ts',
  ]);
});
