// `npm run test:fast` needs neither QEMU nor a guest nor a network: whatever does is in a file whose name says so, and left out.
import { readFile, readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../native/tests/', import.meta.url));
/** Engines and QEMUs, the network namespaces in which they run, and the guests that they boot. */
const needsQemu =
  /\b(?:in_lab|in_guest_lab|guest_image|pc_image|debian_image|protected_pair)\b|common::(?:engine|pair|side)\b|\bGuest::start\b|CARGO_BIN_EXE|qemu-system/;

async function engineTests(): Promise<string[]> {
  const files = await readdir(folder);
  return files.filter((file) => file.endsWith('.rs'));
}

test('of the native tests those that need QEMU are named qemu_*, and they alone', async () => {
  const needy: string[] = [];
  for (const file of await engineTests()) {
    if (needsQemu.test(await readFile(`${folder}${file}`, 'utf8'))) needy.push(file);
  }
  const named = (await engineTests()).filter((file) => file.startsWith('qemu_'));
  expect(named.length).toBeGreaterThan(20);
  expect(needy.sort()).toEqual(named.sort());
});
